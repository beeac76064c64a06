"""Either side of a copy from mover to mover dies at any message: what is there is whole, and it goes on."""

import asyncio
import hashlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.mover.repository import CopyReport
from tests.faults.mover.replica_work import before_each_message
from tests.integration.mover.gate import Gate
from tests.integration.mover.replica_site import MIB, ReplicaSite, SendingSite
from tests.support.injections import Injections
from tests.support.ports import free_port
from tests.support.scenarios import THOROUGH
from tests.support.waiting import until_true
from tests.unit.repository.world import restored

STEPS = range(1, 60) if THOROUGH else (17,)
MESSAGES = range(1, 40) if THOROUGH else (9,)
CUTS = range(1, 40) if THOROUGH else (3, 12)
"""More than a copy has, in each of them."""
UNDER_WAY_BYTES = 2 * 2 * MIB + MIB
"""Sent and not acknowledged, at most: two packs and what is small."""
_PATIENCE_S = 120


def free_address() -> str:
    return f"127.0.0.1:{free_port()}"


@asynccontextmanager
async def working(role: str, folder: Path, address: str, step: int = 0) -> AsyncIterator[Process]:
    """A side that dies at a step; killed in the end."""
    arguments = ("-m", "tests.faults.mover.replica_work", role, str(folder), address, str(step))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(_PATIENCE_S):
        return await process.stdout.readline()


def require_whole(sending: SendingSite, keeping: ReplicaSite, cache: Path) -> None:
    with keeping.opened(sending.repository, cache) as copy:
        assert {point: restored(copy, point) for point in copy.list_points()} == sending.contents
        assert copy.verify(full=True).findings == ()


def packs_of(place: Path) -> dict[str, int]:
    """Names and sizes."""
    return {
        path.name: path.stat().st_size for path in place.glob("packs/*/*/*") if not path.name.startswith(".")
    }


def require_same(sending: SendingSite, keeping: ReplicaSite) -> None:
    """The same packs under their names, which are their hashes; nothing half-made is left."""
    there = keeping.copy(sending.repository)
    assert packs_of(there) == packs_of(sending.folder / "repository")
    for pack in there.glob("packs/*/*/*"):
        assert hashlib.sha256(pack.read_bytes()).hexdigest() == pack.name
    assert not list(there.rglob(".tmp-*")) and not list(keeping.arriving.glob("*/*"))
    assert not list(there.glob("leases/*/*"))


@pytest.fixture
def sending(tmp_path: Path) -> SendingSite:
    site = SendingSite(tmp_path / "sending")
    site.back_up("a", 3 * MIB, 1)
    return site


@pytest.mark.scenario(46)
@pytest.mark.parametrize("step", STEPS)
async def test_a_receiver_killed_at_any_message_loses_nothing_it_said_was_durable(
    sending: SendingSite, tmp_path: Path, injections: Injections, step: int
) -> None:
    keeping, address = ReplicaSite(tmp_path / "keeping"), free_address()
    with injections.one(), sending.repository:
        sent = Counted()
        async with working("keep", keeping.folder, address, step) as first:
            assert await said(first) == b"serving\n"
            copying = asyncio.ensure_future(sent.of(sending.copy(address)))
            dead = asyncio.ensure_future(first.wait())
            await asyncio.wait({copying, dead}, return_when=asyncio.FIRST_COMPLETED)
            dead.cancel()
            died = first.returncode == -signal.SIGKILL
            assert died or copying.done()
        async with working("keep", keeping.folder, address) as second, asyncio.timeout(_PATIENCE_S):
            assert await said(second) == b"serving\n"
            assert (await copying).copied_points == ["a"]
            await sending.copy(address)  # sweeps what the killed one was writing
        assert not died or {"COPY_LINE_CUT"} == {code for code, _ in sending.notices}
        assert sent.bytes <= sum(packs_of(sending.folder / "repository").values()) + UNDER_WAY_BYTES
        require_whole(sending, keeping, tmp_path / "cache")
        require_same(sending, keeping)


@pytest.mark.scenario(46)
@pytest.mark.parametrize("step", MESSAGES)
async def test_a_sender_killed_at_any_message_is_gone_on_for_by_the_next_one(
    sending: SendingSite, tmp_path: Path, injections: Injections, step: int
) -> None:
    keeping = ReplicaSite(tmp_path / "keeping")
    with injections.one(), sending.repository:
        async with keeping.serving() as address:
            async with working("send", sending.folder, address, step) as first:
                async with asyncio.timeout(_PATIENCE_S):
                    died = await first.wait() == -signal.SIGKILL
            there = list(keeping.copy(sending.repository).glob("points/*"))
            assert died or there
            if there:
                require_whole(sending, keeping, tmp_path / "look")
            before = packs_of(keeping.copy(sending.repository))
            report = await sending.copy(address)
            assert report.copied_points in ([[]] if there else [["a"], []])
        missing = packs_of(sending.folder / "repository").items() - before.items()
        assert report.copied_packs <= len(missing)  # what was under way may still have arrived
        assert report.copied_bytes <= sum(size for _, size in missing)
        require_whole(sending, keeping, tmp_path / "cache")
        require_same(sending, keeping)


@pytest.mark.scenario(46)
@pytest.mark.parametrize("message", CUTS)
async def test_a_line_cut_at_any_message_costs_what_was_under_way(
    sending: SendingSite, tmp_path: Path, injections: Injections, message: int
) -> None:
    keeping, sent = ReplicaSite(tmp_path / "keeping"), Counted()
    with injections.one(), sending.repository:
        async with keeping.serving() as address, Gate(int(address.rpartition(":")[2])) as gate:
            sent.at, sent.then = message, gate.cut
            async with asyncio.timeout(_PATIENCE_S):
                report = await sent.of(sending.copy(f"127.0.0.1:{gate.port}"))
        assert report.copied_points == ["a"]
        assert {"COPY_LINE_CUT"} >= {code for code, _ in sending.notices}
        assert sent.bytes <= sum(packs_of(sending.folder / "repository").values()) + UNDER_WAY_BYTES
        require_whole(sending, keeping, tmp_path / "cache")
        require_same(sending, keeping)


@pytest.mark.skipif(not THOROUGH, reason="it takes the half minute after which a line is taken for dead")
@pytest.mark.scenario(46, 12)
async def test_a_line_that_falls_silent_is_taken_for_cut(
    sending: SendingSite, tmp_path: Path, injections: Injections
) -> None:
    keeping, sent = ReplicaSite(tmp_path / "keeping"), Counted(at=12)
    with injections.one(), sending.repository:
        async with keeping.serving() as address, Gate(int(address.rpartition(":")[2])) as gate:

            async def hold() -> None:
                gate.hold_after(0)

            sent.then = hold
            copying = asyncio.ensure_future(sent.of(sending.copy(f"127.0.0.1:{gate.port}")))
            await until_true(lambda: bool(sending.notices))
            assert gate.held.is_set() and not copying.done()
            gate.open()
            async with asyncio.timeout(_PATIENCE_S):
                assert (await copying).copied_points == ["a"]
        assert {"COPY_LINE_CUT"} == {code for code, _ in sending.notices}
        require_whole(sending, keeping, tmp_path / "cache")
        require_same(sending, keeping)


@dataclass
class Counted:
    """What a copy sends; before message ``at`` something happens."""

    bytes: int = 0
    messages: int = 0
    at: int = 0
    then: Callable[[], Awaitable[None]] | None = None

    async def of(self, copying: Awaitable[CopyReport]) -> CopyReport:
        with before_each_message(self._look):
            return await copying

    async def _look(self, size: int) -> None:
        self.messages += 1
        self.bytes += size
        if self.messages == self.at and self.then is not None:
            await self.then()
