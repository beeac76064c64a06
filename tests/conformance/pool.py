"""A pool for clients to try: the simulator as a process of its own, as an operator starts it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import yaml
from xenkeep.simulator.v1.simulator_pb2_grpc import SimulatorServiceStub

from tests.integration.simulator.pools import MIB, PASSWORD
from tests.support.ports import free_port

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
HOSTS = ("127.0.0.41", "127.0.0.42", "127.0.0.43")


@dataclass(frozen=True)
class RunningPool:
    """``hosts`` are addresses, the first coordinator's first; ``control`` is the pool's side door;
    ``work_dir`` is the client's to use.
    """

    hosts: tuple[str, ...]
    port: int
    http_port: int
    control: SimulatorServiceStub
    work_dir: Path
    pid: int

    @property
    def address(self) -> str:
        """Of the first coordinator, with its port."""
        return f"{self.hosts[0]}:{self.port}"


@contextmanager
def running_pool(work_dir: Path, **changes: Any) -> Iterator[RunningPool]:
    """Three hosts, a shared and a local SR, a running and two halted VMs; ``changes`` override the
    description.
    """
    description = _description(work_dir) | changes
    path = work_dir / "pool.yaml"
    path.write_text(yaml.safe_dump(description), "utf-8")
    command = [sys.executable, "-m", "services.simulator", "run", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    overdue = threading.Timer(START_TIMEOUT_S, process.kill)
    try:
        overdue.start()
        assert process.stdout is not None
        ready = process.stdout.readline()
        overdue.cancel()
        if not ready:
            raise RuntimeError(f"the simulator ended with status {process.wait()} before it was ready")
        json.loads(ready)
        with grpc.insecure_channel(f"unix:{description['control_socket']}") as channel:
            yield RunningPool(
                tuple(host["address"] for host in description["hosts"]),
                description["https_port"],
                description["http_port"],
                SimulatorServiceStub(channel),  # type: ignore[no-untyped-call,unused-ignore]
                work_dir,
                process.pid,
            )
    finally:
        overdue.cancel()
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _description(work_dir: Path) -> dict[str, Any]:
    disk = {"size_bytes": 8 * MIB}
    local = {"size_bytes": 4 * MIB, "storage": "Local on host-2"}
    return {
        "name": "conformance",
        "data_dir": str(work_dir / "data"),
        "https_port": free_port(),
        "http_port": free_port(),
        "nbd_port": free_port(),
        "control_socket": str(work_dir / "control.sock"),
        "refusal_delay_s": 0.01,
        "users": [{"password": PASSWORD}, {"name": "reader", "password": PASSWORD, "role": "read-only"}],
        "hosts": [
            {"name": f"host-{number}", "address": address, "cpus": 1}
            for number, address in enumerate(HOSTS, 1)
        ],
        "storage": [
            {"name": "Shared storage"},
            {"name": "Local on host-2", "type": "ext", "host": "host-2", "size_bytes": 1024 * MIB},
        ],
        "vms": [
            {"name": "web", "host": "host-1", "disks": [disk], "tags": ["a"]},
            {"name": "db", "disks": [disk, disk]},
            {"name": "local", "disks": [local]},
        ],
    }
