"""A mover works on as many transfers at once as its memory is enough for, and says so."""

from collections.abc import Callable
from mmap import PAGESIZE
from pathlib import Path

import pytest

from services.chassis.bell import Bell
from services.chassis.clock import FakeClock
from services.chassis.ids import SequentialIds
from services.mover.adapters.machine_memory import MeasuredRoom, usable_memory
from services.mover.adapters.memory_books import MemoryBooks
from services.mover.app.transfers import Transfers
from services.mover.domain.room import OWN_BYTES, Room
from services.mover.domain.transfer import State, Transfer, Verify
from services.mover.repository import BackupOptions
from tests.unit.mover.world import transfer_id

MIB = 1 << 20
EACH = 256 * MIB
Memory = Callable[..., int | None]


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """What can be used where 1000 MiB are available and 24 are resident here, in a container or in none."""
    (tmp_path / "meminfo").write_text(
        f"MemTotal:       {4000 << 10} kB\nMemFree:  1 kB\nMemAvailable:   {1000 << 10} kB\n"
    )
    (tmp_path / "statm").write_text(f"99999999 {24 * MIB // PAGESIZE} 3 4 0 6 0\n")

    def measured(limit: str | None = None, machine: str = "meminfo") -> int | None:
        if limit is not None:
            (tmp_path / "memory.max").write_text(f"{limit}\n")
        return usable_memory(tmp_path / "memory.max", tmp_path / machine, tmp_path / "statm")

    return measured


@pytest.mark.parametrize(
    ("limit", "mib"), [(None, 1024), ("max", 1024), (str(512 * MIB), 512), (str(9000 * MIB), 1024)]
)
def test_memory_is_the_containers_limit_or_less_where_the_machine_has_less(
    memory: Memory, limit: str | None, mib: int
) -> None:
    assert mib * MIB == memory(limit)


def test_where_the_machine_does_not_tell_the_limit_counts_or_nothing(memory: Memory, tmp_path: Path) -> None:
    assert None is memory(machine="none")
    assert 512 * MIB == memory(str(512 * MIB), machine="none")
    for content in ("", "MemTotal: 5 kB\n", "MemAvailable: many kB\n", "MemAvailable:\n"):
        (tmp_path / "other").write_text(content)
        assert 512 * MIB == memory(machine="other")


def test_this_machine_tells() -> None:
    assert (usable_memory() or 0) > 64 * MIB


@pytest.mark.parametrize(
    ("mib", "transfers"),
    [(None, 4), (0, 1), (512, 1), (1023, 1), (1024, 2), (1279, 2), (1280, 3), (1536, 4), (1 << 20, 4)],
)
def test_never_fewer_than_one_and_never_more_than_configured(mib: int | None, transfers: int) -> None:
    assert transfers == Room(4, EACH, None if mib is None else mib * MIB).transfers
    assert 512 * MIB == OWN_BYTES


def test_who_waits_is_told_for_what() -> None:
    assert "this one works on 4 at once" == Room(4, EACH, None).told().partition("; ")[2]
    assert (
        Room(4, EACH, 1100 * MIB)
        .told()
        .endswith(
            "works on 2 at once, not 4: it has 1100 MiB of memory, and needs 256 MiB for each beside 512 MiB "
            "of its own"
        )
    )


def test_it_is_measured_again_and_each_change_is_told_once() -> None:
    sizes = iter([4000, 1024, 1030, 700, 4000])
    heard: list[int] = []
    room = MeasuredRoom(4, EACH, lambda now: heard.append(now.transfers), lambda: next(sizes) * MIB)
    assert [4, 2, 2, 1, 4] == [room.now().transfers for _ in range(5)]
    assert [2, 1, 4] == heard


async def test_who_watches_a_queued_transfer_hears_of_another_number_and_not_of_every_mib() -> None:
    sizes = [1024, 1025, 1090, 700]
    room = MeasuredRoom(4, EACH, lambda _: None, lambda: sizes[0] * MIB)
    books, clock = MemoryBooks(), FakeClock()
    transfers = Transfers(books, Bell(), clock, SequentialIds(), room.told)
    queued = Transfer(transfer_id(1), Verify("main", full=True), clock.now())
    async with books.writing() as work:
        await work.transfers.put(queued)
    told = []
    while sizes:
        room.now()
        told.append((await transfers.get(queued.transfer_id)).progress.activity)
        del sizes[0]
    assert 1 == len(set(told[:3])) and "works on 2 at once" in told[0]
    assert "works on 1 at once" in told[3] and "700 MiB" in told[3]


async def test_a_queued_transfer_says_what_it_waits_for_and_a_running_one_what_it_does() -> None:
    books, clock = MemoryBooks(), FakeClock()
    transfers = Transfers(books, Bell(), clock, SequentialIds(), lambda: "Waits for room")
    queued = Transfer(transfer_id(1), Verify("main", full=True), clock.now())
    async with books.writing() as work:
        await work.transfers.put(queued)
    assert "Waits for room" == (await transfers.get(queued.transfer_id)).progress.activity
    assert ["Waits for room"] == [each.progress.activity for each in await transfers.page("", 9)]
    async with books.writing() as work:
        await work.transfers.put(queued.taken_up(clock.now()))
    running = await transfers.get(queued.transfer_id)
    assert (State.RUNNING, "") == (running.state, running.progress.activity)


@pytest.mark.parametrize(("cores", "mib"), [(2, 244), (16, 300)])
def test_a_backups_memory_is_the_sum_that_is_written_down(cores: int, mib: int) -> None:
    """services/mover/README.md, "Memory"."""
    assert mib * MIB == BackupOptions(workers=cores).memory_bytes(disks=2)
