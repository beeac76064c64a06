"""The simulated pool of the story: three hosts, one shared SR, four VMs; and its controls."""

import errno
import json
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc

from xenkeep.demo.guests import GuestDisk
from xenkeep.errors import Error, translated
from xenkeep.local.processes import Program
from xenkeep.simulator.v1 import simulator_pb2, simulator_pb2_grpc

HOSTS = {"host-1": "127.0.0.11", "host-2": "127.0.0.12", "host-3": "127.0.0.13"}
FIRST_HTTPS_PORT = 8443
FIRST_NBD_PORT = 10809
PORTS_TRIED = 200
WRITE_BATCH_BYTES = 2 << 20
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Guest:
    """A VM of the story."""

    name: str
    host: str
    disks: list[GuestDisk]
    firmware: str


def description(folder: Path, guests: list[Guest], password: str, *, https_port: int, nbd_port: int) -> Path:
    """Write the file that ``xenkeep-simulator`` makes the pool from."""
    secret = folder / "pool-password"
    secret.write_text(password, encoding="utf-8")
    secret.chmod(0o600)
    data = {
        "name": "demo",
        "data_dir": str(folder / "pool"),
        "https_port": https_port,
        "nbd_port": nbd_port,
        "control_socket": str(folder / "control.sock"),
        "users": [{"name": "root", "password_file": str(secret)}],
        "hosts": [{"name": name, "address": address} for name, address in HOSTS.items()],
        "storage": [{"name": "Shared storage", "type": "nfs"}],
        "default_storage": "Shared storage",
        "ha_enabled": True,
        "vms": [_vm(guest) for guest in guests],
    }
    file = folder / "pool.json"
    file.write_text(json.dumps(data, indent=2), encoding="utf-8")
    return file


def free_port(first: int) -> int:
    """The first port from ``first`` on that nobody has on any host. Raises Error ResourceExhausted."""
    for port in range(first, first + PORTS_TRIED):
        if all(_is_free(address, port) for address in HOSTS.values()):
            return port
    raise Error(
        "ResourceExhausted",
        "NO_FREE_PORTS",
        f"No port from {first} to {first + PORTS_TRIED - 1} is free on all of {', '.join(HOSTS.values())}.",
        "Stop what holds them: `ss -ltnp` shows it.",
    )


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise Error(
                "FailedPrecondition",
                "NO_LOOPBACK_ADDRESS",
                f"The simulated hosts need the address {address}: {error.strerror}.",
                f"Linux has it from the start; elsewhere add it: `ifconfig lo0 alias {address}`.",
            ) from None
    return True


def _vm(guest: Guest) -> dict[str, object]:
    disks = [
        {"name": f"{guest.name} disk {number}", "image": str(disk.image), "bootable": number == 0}
        for number, disk in enumerate(guest.disks)
    ]
    return {
        "name": guest.name,
        "description": f"{guest.name} of the demo",
        "host": guest.host,
        "firmware": guest.firmware,
        "disks": disks,
        "networks": ["Pool-wide network"],
        "tags": ["demo"],
        "ha_restart_priority": "restart",
    }


def program(file: Path) -> Program:
    """The simulator as a process to supervise."""
    return Program(
        "simulator",
        (sys.executable, "-m", "services.simulator", "run", str(file)),
        ready_line='"coordinator":',
    )


class PoolControl:
    """What befalls the pool, on command. Only the demo has this door: Xenkeep sees the pool from outside."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._channel = grpc.insecure_channel(f"unix:{socket}")
        self._stub = simulator_pb2_grpc.SimulatorServiceStub(self._channel)

    def hosts(self) -> list[simulator_pb2.SimulatedHost]:
        """All hosts as they are."""
        return list(self._call(self._stub.GetState, simulator_pb2.GetStateRequest()).hosts)

    def coordinator(self) -> simulator_pb2.SimulatedHost:
        """The host that leads the pool."""
        return next(host for host in self.hosts() if host.coordinator)

    def kill(self, host: str) -> None:
        """A host loses power."""
        self._call(self._stub.KillHost, simulator_pb2.KillHostRequest(host=host))

    def revive(self, host: str) -> None:
        """A dead host boots."""
        self._call(self._stub.ReviveHost, simulator_pb2.ReviveHostRequest(host=host))

    def limit(self, bytes_per_second: int) -> None:
        """Limit the links of all hosts; 0 lifts the limit."""
        for host in self.hosts():
            request = simulator_pb2.SetLinkSpeedRequest(host=host.host_id, bytes_per_second=bytes_per_second)
            self._call(self._stub.SetLinkSpeed, request)

    def write(self, disk: GuestDisk, writes: list[tuple[int, bytes]]) -> None:
        """Let a guest write."""
        batch: list[simulator_pb2.GuestWrite] = []
        for offset, data in writes:
            batch.append(simulator_pb2.GuestWrite(offset_bytes=offset, data=data))
            if len(batch) * len(data) >= WRITE_BATCH_BYTES:
                self._write(disk, batch)
                batch = []
        self._write(disk, batch)

    def sha256(self, disk_id: str) -> str:
        """Of the whole virtual disk, lower-case hexadecimal."""
        answer: simulator_pb2.HashDiskResponse = self._call(
            self._stub.HashDisk, simulator_pb2.HashDiskRequest(disk_id=disk_id)
        )
        return answer.sha256

    def copy(self, disk_id: str, path: Path) -> None:
        """Copy what a disk holds into a sparse file."""
        self._call(self._stub.CopyDisk, simulator_pb2.CopyDiskRequest(disk_id=disk_id, path=str(path)))

    def close(self) -> None:
        self._channel.close()

    def _write(self, disk: GuestDisk, batch: list[simulator_pb2.GuestWrite]) -> None:
        if batch:
            self._call(
                self._stub.WriteGuest, simulator_pb2.WriteGuestRequest(disk_id=disk.disk_id, writes=batch)
            )

    def _call(self, method: Callable[..., Answer], request: object) -> Answer:
        with translated("simulator", f"unix:{self._socket}"):
            return method(request, timeout=120.0, wait_for_ready=True)
