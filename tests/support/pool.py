"""A simulated pool of several hosts, in a process of its own."""

import itertools
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from xenkeep.simulator.v1 import simulator_pb2_grpc

from tests.support.ports import free_port
from tests.support.warm import WarmProcess, start

PASSWORD = "a password of the pool's own"
MIB = 1024 * 1024

_networks = itertools.count(os.getpid())

TESLA: dict[str, Any] = {
    "name": "Tesla T4",
    "device": "10de/1eb8",
    "types": [{"name": "GRID T4-2Q", "capacity": 8}, {"name": "GRID T4-8Q", "capacity": 2}],
}


@dataclass
class SimulatedPool:
    """``start`` returns when all hosts answer; ``control`` commands what befalls them. Every host has
    ``gpus``."""

    directory: Path
    hosts: int = 3
    vms: list[dict[str, Any]] = field(default_factory=list)
    users: list[dict[str, str]] = field(default_factory=list)
    gpus: list[dict[str, Any]] = field(default_factory=list)
    overrides: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        number = next(_networks) % 60000 + 256
        self._net = f"127.{number >> 8}.{number & 255}"
        self.https_port = free_port(f"{self._net}.11")
        self.socket = Path(f"/tmp/xk-sim-{os.getpid()}-{number}.sock")
        self._process: WarmProcess | None = None

    def address(self, index: int) -> str:
        """host:port of the host ``index``, 0 being the first coordinator."""
        return f"{self._net}.{11 + index}:{self.https_port}"

    def start(self) -> None:
        description = {
            "name": "Lab",
            "data_dir": str(self.directory / "pool"),
            "https_port": self.https_port,
            "nbd_port": free_port(f"{self._net}.11"),
            "control_socket": str(self.socket),
            "users": [{"name": "root", "password": PASSWORD}, *self.users],
            "hosts": [
                {"name": f"host{i}", "address": f"{self._net}.{11 + i}", "gpus": self.gpus}
                for i in range(self.hosts)
            ],
            "storage": [
                {"name": "Shared storage"},
                {"name": "Plain storage", "type": "linstor"},
            ],
            "default_storage": "Shared storage",
            "refusal_delay_s": 0.1,
            "vms": self.vms,
            **self.overrides,
        }
        file = self.directory / "pool.json"
        file.write_text(json.dumps(description))
        said, saying = os.pipe()
        self._process = start("services.simulator.__main__:main", "run", str(file), stdout=saying)
        os.close(saying)
        self._said = os.fdopen(said)
        assert self._said.readline(), "the simulator did not start"

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.join()
            self._said.close()
        self.socket.unlink(missing_ok=True)

    def control(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"unix:{self.socket}")


def vm(name: str, host: str | None = "host0", disks: int = 1, **more: Any) -> dict[str, Any]:
    """Description of a VM with ``disks`` small disks."""
    return {
        "name": name,
        "host": host,
        "networks": ["Pool-wide network"],
        "disks": [{"name": f"{name} disk {i}", "size_bytes": 16 * MIB} for i in range(disks)],
        **more,
    }


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[SimulatedPool]:
    """Three hosts, two VMs: ``web`` with two disks on the first host, ``db`` halted."""
    (tmp_path / "sim").mkdir()
    simulated = SimulatedPool(tmp_path / "sim", vms=[vm("web", disks=2), vm("db", host=None)])
    simulated.start()
    yield simulated
    simulated.stop()


def simulator(channel: grpc.aio.Channel) -> "simulator_pb2_grpc.SimulatorServiceAsyncStub":
    return simulator_pb2_grpc.SimulatorServiceStub(channel)
