"""A guest that writes to its disk by NBD all the time, from before its incremental backup until after it."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Event

import grpc
import pytest
from xenkeep.scheduler.v1 import run_pb2
from xenkeep.simulator.v1 import simulator_pb2, simulator_pb2_grpc

from tests.support.stack import MIB, REPOSITORY, Stack


@pytest.fixture
def uri(stack: Stack, tmp_path: Path) -> Iterator[str]:
    """The disk of web in the hands of a guest, by libnbd's address of it."""
    (disk,) = stack.disks("web")
    with grpc.insecure_channel(f"unix:{stack.pool.socket}") as channel:
        simulator = simulator_pb2_grpc.SimulatorServiceStub(channel)
        request = simulator_pb2.AttachGuestRequest(disk_id=disk, socket_path=str(tmp_path / "guest"))
        yield simulator.AttachGuest(request).uri
        simulator.DetachGuest(simulator_pb2.DetachGuestRequest(disk_id=disk))


def test_what_a_guest_writes_during_its_backup_is_in_the_next_one(stack: Stack, uri: str) -> None:
    (disk,) = stack.disks("web")
    stack.backup("web")
    _write(uri, 32 * MIB, 8 * MIB, 1)
    stack.control.limit(MIB)
    enough = Event()
    with ThreadPoolExecutor(1) as threads:
        guest = threads.submit(_work, uri, enough)
        try:
            run = stack.client.runs.backup(["web"], REPOSITORY)
            stack.watch(run.name, lambda now: any(task.progress.read_bytes for task in now.tasks))
            moment = stack.control.sha256(_snapshot_of(stack, disk))
            stack.control.limit(0)
            done = stack.watch(run.name)
        finally:
            stack.control.limit(0)
            enough.set()
        assert guest.result() > 0
    live = stack.control.sha256(disk)
    following = stack.backup("web")

    assert run_pb2.Run.STATE_SUCCEEDED == done.state, done
    during = stack.data("point", "show", done.tasks[0].result.point.point_id)["point"]
    after = stack.data("point", "show", following["result"]["point"]["point_id"])["point"]
    assert ["LEVEL_INCREMENTAL"] * 2 == [during["level"], after["level"]]
    assert moment != live
    for point, wanted in ((during, moment), (after, live)):
        name = f"web as of {point['point_id']}"
        stack.data("restore", point["point_id"], "--name", name, "--wait")
        assert [wanted] == stack.hashes(name)


def _write(uri: str, start: int, size: int, pattern: int) -> None:
    command = ["qemu-io", "-f", "raw", "-c", f"write -P {pattern} {start} {size}", "-c", "flush", uri]
    subprocess.run(command, check=True, capture_output=True)


def _work(uri: str, enough: Event) -> int:
    """How often the guest wrote all over what is being read."""
    for turn in count(1):
        _write(uri, 32 * MIB, 8 * MIB, turn % 255 + 1)
        if enough.is_set():
            return turn
    raise AssertionError("count ended")


def _snapshot_of(stack: Stack, disk: str) -> str:
    vdis = stack.records("VDI")
    (live,) = [ref for ref, vdi in vdis.items() if vdi["uuid"] == disk]
    (snapshot,) = [
        vdi["uuid"]
        for vdi in vdis.values()
        if vdi["is_a_snapshot"] and vdi["snapshot_of"] == live and vdi["type"] != "cbt_metadata"
    ]
    return str(snapshot)
