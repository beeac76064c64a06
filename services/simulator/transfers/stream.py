"""Bodies: in pieces, at the speed of the link, until they are cut."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TypeVar

from services.simulator.http.server import reset
from services.simulator.transfers.access import Transfer

PIECE = 1024 * 1024
T = TypeVar("T")


async def send(transfer: Transfer, data: bytes | bytearray | memoryview) -> None:
    """Raises ``ConnectionResetError`` when the client is gone or the cut of the link is due."""
    link, writer = transfer.host.link, transfer.exchange.writer
    allowed = link.allowance(len(data))
    if allowed < len(data):
        writer.write(data[:allowed])
        await writer.drain()
        reset(writer)
        raise ConnectionResetError("the link was cut")
    writer.write(data)
    await writer.drain()
    if delay := link.delay(len(data)):
        await transfer.pool.clock.sleep(delay)


async def received(transfer: Transfer, length: int | None) -> AsyncIterator[bytes]:
    """Pieces of the body, each about 1 MiB, until ``length`` bytes came or the client ends its side.

    Raises ``ConnectionResetError`` when the cut of the link is due.
    """
    left = length
    while left is None or left > 0:
        piece = await (_some(transfer) if left is None else _gather(transfer, min(PIECE, left)))
        if not piece:
            return
        if transfer.host.link.allowance(len(piece)) < len(piece):
            reset(transfer.exchange.writer)
            raise ConnectionResetError("the link was cut")
        if delay := transfer.host.link.delay(len(piece)):
            await transfer.pool.clock.sleep(delay)
        transfer.pool.tasks.check(transfer.task)
        left = None if left is None else left - len(piece)
        yield piece


async def _some(transfer: Transfer) -> bytes:
    """What is there: a client that has sent everything may wait for the answer with its side open."""
    return await transfer.exchange.reader.read(PIECE)


async def _gather(transfer: Transfer, wanted: int) -> bytes:
    """So many bytes, fewer only at the end."""
    pieces: list[bytes] = []
    size = 0
    while size < wanted:
        data = await transfer.exchange.reader.read(wanted - size)
        if not data:
            break
        pieces.append(data)
        size += len(data)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def in_thread(pieces: Iterable[T]) -> AsyncIterator[T]:
    """The items of an iterable that reads disks."""
    iterator: Iterator[T] = iter(pieces)
    missing = object()
    while (piece := await asyncio.to_thread(next, iterator, missing)) is not missing:
        yield piece  # type: ignore[misc]
