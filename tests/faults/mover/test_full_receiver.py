"""A mover that keeps copies has no room, or may not write: the sender says so, and goes on when it can."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.chassis.errors import XenkeepError
from tests.integration.mover.replica_site import MIB, ReplicaSite, SendingSite
from tests.support.injections import Injections
from tests.unit.repository.world import restored

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")


@contextmanager
def small_file_system(place: Path, options: str) -> Iterator[None]:
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def make_room(place: Path) -> None:
    options = f"remount,rw,size={64 * MIB},nr_inodes=10000"
    subprocess.run(["mount", "-o", options, place], check=True)


@pytest.mark.scenario(46, 6)
@pytest.mark.parametrize(
    ("where", "options", "reasons"),
    [
        ("copies", f"size={5 * MIB}", {"STORE_FULL"}),
        ("copies", f"size={64 << 10}", {"STORE_FULL"}),
        ("copies", "nr_inodes=30", {"STORE_FULL"}),
        ("arriving", f"size={MIB}", {"REPLICA_NO_ROOM"}),
        ("copies", "ro", {"STORE_REFUSED"}),
        ("arriving", "ro", {"REPLICA_NO_ROOM"}),
    ],
)
async def test_a_receiver_that_cannot_keep_more_is_told_of_and_the_copy_goes_on_when_it_can(
    tmp_path: Path, injections: Injections, where: str, options: str, reasons: set[str]
) -> None:
    sending, keeping = SendingSite(tmp_path / "sending"), ReplicaSite(tmp_path / "keeping")
    sending.back_up("a", 8 * MIB, 1)
    place = keeping.folder / where
    with injections.one(), sending.repository, small_file_system(place, options):
        async with keeping.serving() as address:
            with pytest.raises(XenkeepError) as full:
                await sending.copy(address)
            assert full.value.reason in reasons
            assert full.value.hint
            assert not list(keeping.copy(sending.repository).glob("points/*"))
            await asyncio.to_thread(make_room, place)
            assert (await sending.copy(address)).copied_points == ["a"]
        with keeping.opened(sending.repository, tmp_path / "cache") as copy:
            assert restored(copy, "a") == sending.contents["a"]
            assert copy.verify(full=True).findings == ()
        assert not list(keeping.arriving.glob("*/*"))
        assert not list(keeping.copies.rglob(".tmp-*"))
