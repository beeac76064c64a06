"""The whole of Xenkeep as a user has it: `xenkeep up` in a process of its own, a simulated pool beside it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamInfo
from xenkeep.client import Client
from xenkeep.demo.guests import GuestDisk
from xenkeep.demo.pool import PoolControl
from xenkeep.events import STREAM
from xenkeep.home import SERVICES, Home
from xenkeep.local.processes import leashed
from xenkeep.local.setup import init
from xenkeep.scheduler.v1 import run_pb2

from services.chassis.tls import TlsFiles, nats_context
from tests.support.exposure import everything_below, shown_by
from tests.support.hypervisor import sdk_call
from tests.support.pool import PASSWORD, SimulatedPool
from tests.support.stack_parts import commands_below, described_vm, ext4_image, leftovers, runs
from tests.support.waiting import PATIENCE_S as PATIENCE_S
from tests.support.waiting import until_true
from tests.support.warm import start

PROGRAM = str(Path(sys.executable).with_name("xenkeep"))
PASSPHRASE = "stands between everybody and the backups"
REPOSITORY = "main"
MIB = 1 << 20


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """What it complained of, as JSON: the last line, because bars and certificates come before it."""
        error: dict[str, str] = json.loads(self.err.splitlines()[-1])["error"]
        return error


class Stack:
    """``start`` returns when everything serves; ``home`` and what is in it survive ``stop``."""

    def __init__(self, folder: Path, pool: SimulatedPool, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.env = {"XENKEEP_TRANSFER_LEASE": "3s", "XENKEEP_POOL_PATIENCE": "10s"} | dict(env or {})
        self.pool = pool
        self.home: Home = init(folder / "home", "lab", any_port=True)
        self.client = Client(self.home)
        self.control = PoolControl(pool.socket)
        self.password_file = _secret(folder / "pool-password", PASSWORD)
        self.passphrase_file = _secret(folder / "passphrase", PASSPHRASE)
        self.recovery_key_file = folder / "recovery-key"
        self._up: subprocess.Popen[str] | None = None
        self._said: list[str] = []

    def start(self) -> None:
        self._up = subprocess.Popen(
            leashed([PROGRAM, "--home", self.home.path, "up"]),
            env=os.environ | self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._up.stdout is not None
        for line in self._up.stdout:
            self._said.append(line)
            if line.startswith("ready"):
                return
        raise AssertionError("".join(self._said))

    def stop(self) -> None:
        """As Ctrl-C does."""
        if self._up is not None:
            self._up.send_signal(signal.SIGINT)
            out, _ = self._up.communicate()
            self._said.append(out)
            assert self._up.returncode == 0, out
            self._up = None

    def run(self, *arguments: object, answer: str = "", timeout: float = PATIENCE_S) -> Ran:
        """A ``xenkeep`` command with this home; ``answer`` is typed into it."""
        with TemporaryFile("w+") as typed, TemporaryFile("w+") as out, TemporaryFile("w+") as err:
            typed.write(answer)
            typed.seek(0)
            code = start(
                "xenkeep.cli.main:main",
                *map(str, arguments),
                env=os.environ | {"XENKEEP_HOME": str(self.home.path), "COLUMNS": "200"},
                stdin=typed.fileno(),
                stdout=out.fileno(),
                stderr=err.fileno(),
            ).join(timeout)
            out.seek(0)
            err.seek(0)
            return Ran(code, out.read(), err.read())

    def ok(self, *arguments: object, answer: str = "") -> str:
        """What a command that must succeed prints."""
        ran = self.run(*arguments, answer=answer)
        assert (0, "") == (ran.code, ran.err if ran.code else ""), ran
        return ran.out

    def data(self, *arguments: object) -> Any:
        """What a command that must succeed prints with --json."""
        return json.loads(self.ok(*arguments, "--json"))

    def refused(self, *arguments: object) -> tuple[int, dict[str, str]]:
        """The exit code and the error of a command that must fail."""
        ran = self.run(*arguments, "--json")
        assert ran.code != 0, ran
        return ran.code, ran.error

    def add_pool(self) -> None:
        """By its second host, a supporter."""
        address = self.pool.address(1)
        sha256 = self.client.pools.probe(address).sha256
        self.data("pool", "add", address, "--password-file", self.password_file, "--certificate", sha256)

    def add_repository(self, name: str = REPOSITORY) -> Path:
        """In a directory of its own, which is returned."""
        place = self.folder / name
        made = self.data("repo", "create", name, place, "--passphrase-file", self.passphrase_file)
        _secret(self.recovery_key_file, made["recovery_key"])
        return place

    def backup(self, vm: str, *options: str, repository: str = REPOSITORY) -> Any:
        """Back a VM up and wait; returns the only task."""
        (task,) = self.data("backup", vm, "--to", repository, "--wait", *options)["tasks"]
        return task

    def pid(self, program: str) -> int:
        """Of the service, or of ``nats``, that runs now."""
        assert self._up is not None
        for number, command in commands_below(self._up.pid).items():
            if runs(program, command):
                return number
        raise AssertionError(f"{program} does not run")

    def kill(self, program: str) -> None:
        """With SIGKILL. It is started again by ``xenkeep up``."""
        os.kill(self.pid(program), signal.SIGKILL)

    def kill_everything(self) -> None:
        """The supervisor with SIGKILL; what it runs dies with it."""
        assert self._up is not None
        self._up.kill()
        self._up.communicate()  # until the last one that holds the pipe is gone

    def wait_for_another(self, program: str, dead: int) -> None:
        """Returns when the program runs under another process id than ``dead``."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self._up is not None
            running = commands_below(self._up.pid)
            if any(runs(program, command) and number != dead for number, command in running.items()):
                return
            time.sleep(0.05)  # the kernel tells nobody but the parent
        raise AssertionError(f"{program} was not started again")

    def wait_until_serving(self) -> None:
        """Returns when all services answer."""
        for name in SERVICES:
            self.client.wait_until_serving(name, PATIENCE_S)

    def watch(self, run: str, until: Callable[[run_pb2.Run], bool] = lambda _: False) -> run_pb2.Run:
        """The run when ``until`` holds, or ended."""
        state = self.client.runs.get(run)
        for state in self.client.runs.watch(run):
            if until(state):
                break
        return state

    def xapi(self, method: str, *arguments: object, host: int = 0) -> Any:
        """A XenAPI call by a client of its own."""
        return sdk_call(f"https://{self.pool.address(host)}", method, arguments)

    def records(self, kind: str) -> dict[str, dict[str, Any]]:
        """All XenAPI records of a kind."""
        found: dict[str, dict[str, Any]] = self.xapi(f"{kind}.get_all_records")
        return found

    def wait_until_nothing_is_left(self) -> None:
        """Fails when something is still there after PATIENCE_S; what is being closed takes a moment."""
        deadline = time.monotonic() + PATIENCE_S
        while (left := leftovers(self.records)) and time.monotonic() < deadline:
            self.wait_for_pool_event(5.0)
        assert [] == left

    def guest_writes(self, disk: str, offset_bytes: int, data: bytes) -> None:
        """Let a guest overwrite a part of its disk; both sizes are multiples of 512."""
        self.control.write(GuestDisk(Path(), 0, disk), [(offset_bytes, data)])

    async def stream(self) -> StreamInfo:
        """What JetStream says of the events: how many there are."""
        async with self._jetstream() as jetstream:
            return await jetstream.stream_info(STREAM)

    async def followers(self) -> set[str]:
        """Names of those who follow the events, and of those who did until a moment ago."""
        async with self._jetstream() as jetstream:
            return {consumer.name for consumer in await jetstream.consumers_info(STREAM)}

    @asynccontextmanager
    async def _jetstream(self) -> AsyncIterator[JetStreamContext]:
        bus = await nats.connect(
            self.home.nats_url, tls=nats_context(self._admin()), tls_handshake_first=True
        )
        try:
            yield bus.jetstream()
        finally:
            await bus.close()

    def pools_when(self, wanted: Callable[[Any], bool]) -> Any:
        """The pools as soon as ``wanted`` holds for all of them."""
        deadline = time.monotonic() + PATIENCE_S
        while not all(map(wanted, pools := self.data("pool", "list"))):
            assert time.monotonic() < deadline, pools
        return pools

    def secrets_told(self) -> dict[str, str]:
        """Where a secret is told to whoever reads logs, events, the process table, what services and NATS
        keep: place to secret. Not told of are files that are there to keep one."""
        recovery_key = self.recovery_key_file.read_text().strip() if self.recovery_key_file.exists() else ""
        ours = [each for each in (PASSWORD, PASSPHRASE, recovery_key) if each]
        secrets = [*ours, "OpaqueRef:", "session_id=", "BEGIN PRIVATE KEY"]
        count = asyncio.run(self.stream()).state.messages
        places = {str(log): log.read_text() for log in (self.home.path / "logs").iterdir()}
        places["what up printed"] = "".join(self._said)
        places["events"] = self.ok("events", "tail", "--all", "--count", count, "--json")
        assert self._up is not None
        for number in (self._up.pid, *commands_below(self._up.pid)):
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended while we looked
                shown = shown_by(number).decode(errors="replace")
                places[f"arguments and environment of {number}"] = shown
        kept = {str(file): file.read_bytes() for file in everything_below(self.home.path)}
        return {place: secret for place, text in places.items() for secret in secrets if secret in text} | {
            place: secret
            for place, data in kept.items()
            for secret in (*ours, "session_id=")
            if any(form in data for form in _forms(secret))
        }

    def wait_for_pool_event(self, seconds: float) -> None:
        """Returns when something in the pool changes, or after ``seconds``."""
        session_free = ["vm", "vdi", "vbd"]
        token = self.xapi("event.from", session_free, "", 0.0)["token"]
        self.xapi("event.from", session_free, token, seconds)

    def wait_until_listed(self, vm: str) -> None:
        """Until the inventory has a VM or template of that name, UUID or resource name."""
        asyncio.run(until_true(lambda: self._lists(vm)))

    def wait_until_unlisted(self, vm: str) -> None:
        """Until the inventory has none."""
        asyncio.run(until_true(lambda: not self._lists(vm)))

    def _lists(self, vm: str) -> bool:
        listed = (*self.client.vms.list(), *self.client.vms.list(templates=True))
        return any(vm in (each.display_name, each.name, each.name[-36:]) for each in listed)

    def disks(self, vm: str) -> list[str]:
        """UUIDs of a VM's disks, by device; ``vm`` is a name, UUID or resource name."""
        return [disk.disk_id for disk in self.client.vms.get(vm).disks]

    def hashes(self, vm: str) -> list[str]:
        """SHA-256 of a VM's disks, by device, as the simulator says; when the inventory has the VM."""
        self.wait_until_listed(vm)
        return [self.control.sha256(disk) for disk in self.disks(vm)]

    def _admin(self) -> TlsFiles:
        return TlsFiles(*self.home.certificate("admin"))

    def close(self) -> None:
        self.client.close()
        self.control.close()


@contextmanager
def running_stack(
    folder: Path,
    *,
    image_bytes: int = 64 * MIB,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Iterator[Stack]:
    """Everything, with a pool of three hosts and three VMs and nothing added to Xenkeep yet.

    ``env`` is for `xenkeep up`, ``overrides`` are for the description of the pool.
    """
    web, db, data = (ext4_image(folder / f"{name}.img", image_bytes) for name in ("web", "db", "data"))
    vms = [
        described_vm("web", "host0", [web], tags=["front"]),
        described_vm("db", "host1", [db, data], firmware="uefi"),
        {**described_vm("spare", None, []), "disks": [{"name": "spare disk 0", "size_bytes": 16 * MIB}]},
    ]
    (folder / "sim").mkdir()
    pool = SimulatedPool(folder / "sim", vms=vms, overrides=dict(overrides or {}))
    stack = Stack(folder, pool, env)
    try:
        pool.start()
        stack.start()
        yield stack
    finally:
        stack.close()
        stack.stop()
        pool.stop()


@pytest.fixture(scope="module")
def stack(module_folder: Path) -> Iterator[Stack]:
    """One for the tests of a module; the pool ``Lab`` and the repository ``main`` are added."""
    with running_stack(module_folder, env={"XENKEEP_LOG_LEVEL": "debug"}) as running:
        running.add_pool()
        running.add_repository()
        yield running


def _forms(secret: str) -> list[bytes]:
    """As it is, in hexadecimal digits, and in base64 without the end that depends on what follows."""
    data = secret.encode()
    return [data, data.hex().encode(), b64encode(data)[:-4]]


def _secret(path: Path, text: str) -> Path:
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path
