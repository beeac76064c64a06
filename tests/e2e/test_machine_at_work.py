"""Linux in a machine of QEMU writes to its disk through a full, an incremental and an offline backup."""

import hashlib
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from xenkeep.demo.guests import file_system_problems
from xenkeep.scheduler.v1 import run_pb2
from xenkeep.simulator.v1 import simulator_pb2, simulator_pb2_grpc

from tests.support.linux_guest import RECORD_BYTES, Linux, linux
from tests.support.qemu import Machine, qemu
from tests.support.stack import MIB, REPOSITORY, Stack
from tests.support.waiting import PATIENCE_S

__all__ = ["linux", "qemu"]
NAME = "Linux of the tests"
_RECORD = re.compile(r"(\d+)-([0-9a-f]{64})")
_TOOLS = "/usr/sbin:/sbin"


class Guest:
    """The Linux that runs in the place of db, and the records it says it has written for good."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._said: list[str] = []
        self._is_off = False
        self._news = threading.Condition()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    @property
    def records(self) -> int:
        with self._news:
            return sum(line.startswith("record ") for line in self._said)

    def writes_on(self, count: int = 3) -> int:
        """Returns when it has written so many more; the number of the last one."""
        with self._news:
            enough = self.records + count
            self._news.wait_for(lambda: self.records >= enough or self._is_off, PATIENCE_S)
            assert self.records >= enough, self._said
            return self.records

    def ended(self) -> list[str]:
        """All that it said, as soon as it has powered off in good order."""
        assert 0 == self.machine.ended()
        self._listener.join()
        return self._said

    def kill(self) -> None:
        self.machine.kill()
        self._listener.join()

    def _listen(self) -> None:
        for line in self.machine.lines():
            with self._news:
                self._said.append(line)
                self._news.notify_all()
        with self._news:
            self._is_off = True
            self._news.notify_all()


@dataclass(frozen=True)
class Point:
    """What was backed up when there were ``before`` records, and ``after`` them when its run had ended."""

    point_id: str
    before: int
    after: int


@pytest.fixture(scope="module")
def guest(stack: Stack, qemu: str, linux: Linux, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    folder = tmp_path_factory.mktemp("machine")
    with grpc.insecure_channel(f"unix:{stack.pool.socket}") as channel:
        simulator = simulator_pb2_grpc.SimulatorServiceStub(channel)
        request = simulator_pb2.AttachMachineRequest(vm="db", folder=str(folder))
        arguments = simulator.AttachMachine(request).qemu_arguments
    guest = Guest(Machine(qemu, [*linux.arguments, *arguments], linux.memory_mib, heard=True))
    guest.writes_on(1)
    yield guest
    guest.kill()


@pytest.fixture(scope="module")
def at_work(stack: Stack, guest: Guest) -> list[Point]:
    """A full and an incremental one, while it writes."""
    return [
        _backed_up_at_work(stack, guest, run_pb2.Run.STATE_RUNNING),
        _backed_up_at_work(stack, guest),
    ]


@pytest.fixture(scope="module")
def off(stack: Stack, guest: Guest, at_work: list[Point]) -> str:
    """A point for which it was shut down; that is what the last of its words tell."""
    point = stack.backup("db", "--method", "offline")["result"]["point"]["point_id"]
    assert "unmounted" in guest.ended()
    return str(point)


def test_what_its_tools_say_is_shown(stack: Stack, guest: Guest) -> None:
    while NAME != stack.data("vm", "show", "db")["guest"]["os_name"]:
        stack.wait_for_pool_event(5.0)


@pytest.mark.parametrize(("number", "level"), [(0, "LEVEL_FULL"), (1, "LEVEL_INCREMENTAL")])
def test_a_point_of_a_machine_at_work_is_of_one_moment(
    stack: Stack, at_work: list[Point], tmp_path: Path, number: int, level: str
) -> None:
    point = at_work[number]
    assert level == stack.data("point", "show", point.point_id)["point"]["level"]
    disk = _restored(stack, point.point_id, tmp_path)
    _replay_journal(disk)
    assert "" == file_system_problems(disk)
    assert point.before <= _proven_records(disk) < point.after, "those of when its snapshot was taken"


def test_a_machine_is_shut_down_for_its_offline_backup(
    stack: Stack, guest: Guest, off: str, tmp_path: Path
) -> None:
    assert "CONSISTENCY_POWERED_OFF" == stack.data("point", "show", off)["point"]["consistency"]
    disk = _restored(stack, off, tmp_path)
    assert "" == file_system_problems(disk), "unmounted: there is no journal to replay"
    assert guest.records == _proven_records(disk)
    _wait_for_a_running_vm(stack)


def _backed_up_at_work(stack: Stack, guest: Guest, state: run_pb2.Run.State.ValueType | None = None) -> Point:
    """``state``: the run's when some of the disk had been read and the guest had written since then."""
    before = guest.writes_on()
    stack.control.limit(MIB)
    try:
        run = stack.client.runs.backup(["db"], REPOSITORY)
        stack.watch(run.name, lambda now: any(task.progress.read_bytes for task in now.tasks))
        guest.writes_on()
        now = stack.client.runs.get(run.name).state
    finally:
        stack.control.limit(0)
    done = stack.watch(run.name)
    assert state in (None, now)
    assert run_pb2.Run.STATE_SUCCEEDED == done.state, done
    return Point(done.tasks[0].result.point.point_id, before, guest.records)


def _restored(stack: Stack, point: str, folder: Path) -> Path:
    """The first disk of the VM that a point makes, in a file."""
    name = f"db as of {point}"
    stack.data("restore", point, "--name", name, "--wait")
    path = folder / point
    stack.control.copy(stack.disks(name)[0], path)
    return path


def _replay_journal(disk: Path) -> None:
    """As whoever mounts it does first."""
    program = shutil.which("e2fsck", path=_TOOLS) or "e2fsck"
    done = subprocess.run(
        [program, "-E", "journal_only", "-y", disk], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stdout  # 1: something was replayed


def _proven_records(disk: Path) -> int:
    """How many records a disk has: all from the first one on, each with the hash that its guest has seen."""
    folder = disk.with_suffix(".records")
    folder.mkdir()
    program = shutil.which("debugfs", path=_TOOLS) or "debugfs"
    subprocess.run([program, "-R", f"rdump /records {folder}", disk], check=True, capture_output=True)
    found: dict[int, Any] = {}
    for file in (folder / "records").iterdir():
        if named := _RECORD.fullmatch(file.name):
            content = file.read_bytes()
            assert (RECORD_BYTES, named[2]) == (len(content), hashlib.sha256(content).hexdigest()), file
            found[int(named[1])] = file
    assert list(range(1, len(found) + 1)) == sorted(found)
    return len(found)


def _wait_for_a_running_vm(stack: Stack) -> None:
    """After an offline backup it runs again, and its guest is a pretended one."""
    [ref] = stack.xapi("VM.get_by_name_label", "db")
    while "Running" != stack.xapi("VM.get_power_state", ref):
        stack.wait_for_pool_event(30.0)
