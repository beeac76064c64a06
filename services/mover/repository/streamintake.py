"""The streams of one backup."""

import asyncio
from collections.abc import AsyncIterable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from services.chassis.errors import InvalidInput
from services.mover.repository.context import Context
from services.mover.repository.cutting import Cutter
from services.mover.repository.flow import Stopped
from services.mover.repository.format.stream import StreamRef
from services.mover.repository.pipeline import Pipeline
from services.mover.repository.ports import Progress, ProgressListener
from services.mover.repository.streamwriter import StreamWriter
from services.mover.repository.types import Bytes

_HANDED_BYTES: Final = 1 << 20


class StreamIntake:
    """Every stream by name. One that failed may be begun again; until it is finished there is no point."""

    def __init__(self, context: Context, pipeline: Pipeline, workers: int) -> None:
        self._context = context
        self._pipeline = pipeline
        self._workers = workers
        self._streams: dict[str, StreamRef | None] = {}
        self._running: set[str] = set()
        self._broken: list[StreamWriter] = []

    @property
    def finished(self) -> dict[str, StreamRef]:
        return {name: ref for name, ref in self._streams.items() if ref is not None}

    @property
    def unfinished(self) -> list[str]:
        return [name for name, ref in self._streams.items() if ref is None]

    def settle(self) -> None:
        """Wait for what streams that broke off are still storing."""
        while self._broken:
            self._broken.pop().settle()

    def take(
        self, name: str, kind: str, data: Iterable[Bytes], total: int, listener: ProgressListener | None
    ) -> StreamRef:
        """Store the concatenation of ``data``."""
        with self._writer(name, kind) as writer:
            for part in data:
                writer.write(part)
                _tell(listener, writer, total)
            return self._finished(name, writer)

    async def take_async(
        self, name: str, kind: str, data: AsyncIterable[Bytes], total: int, listener: ProgressListener | None
    ) -> StreamRef:
        """The same from the event loop, which never waits for a disk or a processor."""
        with self._writer(name, kind) as writer:
            pending = bytearray()
            async for part in data:
                pending += part
                if len(pending) >= _HANDED_BYTES:
                    await asyncio.to_thread(writer.write, pending)
                    pending = bytearray()
                    _tell(listener, writer, total)
            await asyncio.to_thread(writer.write, pending)
            return await asyncio.to_thread(self._finished, name, writer)

    def _finished(self, name: str, writer: StreamWriter) -> StreamRef:
        ref = writer.finish()
        self._streams[name] = ref
        return ref

    @contextmanager
    def _writer(self, name: str, kind: str) -> Iterator[StreamWriter]:
        if name in self._running or self._streams.get(name) is not None:
            raise InvalidInput(
                f"There is a stream {name!r} already.", reason="STREAM_TWICE", hint="Name it otherwise."
            )
        self._streams[name] = None
        self._running.add(name)
        cutter = Cutter(self._context.keys.cut_key)
        flow = self._pipeline.flow
        writer = StreamWriter(flow, self._pipeline.writer, cutter, kind, self._workers)
        try:
            yield writer
        except Stopped:
            flow.raise_failure()
            raise
        finally:
            self._running.discard(name)
            writer.close()
            if self._streams[name] is None:
                self._broken.append(writer)


def _tell(listener: ProgressListener | None, writer: StreamWriter, total: int) -> None:
    if listener is not None:
        listener(Progress(max(total, writer.read_bytes), writer.read_bytes, 0, writer.stored_bytes))
