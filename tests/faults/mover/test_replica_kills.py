"""Either side of a copy from mover to mover dies at any message: what is there is whole, and it goes on."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.mover.replica_site import MIB, ReplicaSite, SendingSite
from tests.support.injections import Injections
from tests.support.ports import free_port
from tests.support.scenarios import THOROUGH
from tests.unit.repository.world import restored

STEPS = range(1, 60, 6) if THOROUGH else (17,)
MESSAGES = range(1, 30, 4) if THOROUGH else (9,)
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
        async with working("keep", keeping.folder, address, step) as first:
            assert await said(first) == b"serving\n"
            copying = asyncio.ensure_future(sending.copy(address))
            dead = asyncio.ensure_future(first.wait())
            await asyncio.wait({copying, dead}, return_when=asyncio.FIRST_COMPLETED)
            dead.cancel()
            died = first.returncode == -signal.SIGKILL
            assert died or copying.done()
        async with working("keep", keeping.folder, address) as second, asyncio.timeout(_PATIENCE_S):
            assert await said(second) == b"serving\n"
            assert (await copying).copied_points == ["a"]
        assert not died or {"COPY_LINE_CUT"} == {code for code, _ in sending.notices}
        require_whole(sending, keeping, tmp_path / "cache")


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
            assert not died or not there
            if there:
                require_whole(sending, keeping, tmp_path / "look")
            report = await sending.copy(address)
            assert report.copied_points == ([] if there else ["a"])
        require_whole(sending, keeping, tmp_path / "cache")
