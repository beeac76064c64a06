"""A VM of the simulated pool is backed up and restored from outside, whatever happens to the containers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xenkeep.home import SERVICES

from tests.compose.stack import Stack

pytestmark = pytest.mark.timeout(1500)
SOCKET = "/var/lib/xenkeep/control.sock"
SLOW_BYTES_PER_SECOND = 2 << 20
READ_BYTES = 6 << 20
"""Read before something is killed: about a tenth of the disk's data."""


@pytest.fixture(scope="module")
def repository(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The pool added, its certificate compared, and a repository made."""
    folder = tmp_path_factory.mktemp("secrets")
    password, passphrase = folder / "password", folder / "passphrase"
    password.write_text(stack.inside("simulator", "cat", "/var/lib/xenkeep/pool-password"))
    passphrase.write_text("a passphrase for tests only")
    pool = stack.xenkeep(
        "pool", "add", "host-2:8443", "--password-file", str(password), "--certificate", certificate(stack)
    )
    assert 3 == len(pool["hosts"])
    assert 3 == len({host["address"] for host in pool["hosts"]})
    made = stack.xenkeep(
        "repo", "create", "main", "file:///srv/repositories/main", "--passphrase-file", str(passphrase)
    )
    assert made["recovery_key"]
    return "main"


def test_a_vm_comes_back_byte_for_byte(stack: Stack, repository: str) -> None:
    point = backup(stack, repository)
    run = stack.xenkeep("restore", point, "--name", "web again", "--wait")
    assert "STATE_SUCCEEDED" == run["state"]
    assert hash_of(stack, "web") == hash_of(stack, "web again")


@pytest.mark.parametrize("victim", ["mover", "nats", "hypervisor", "scheduler"])
def test_a_backup_survives_that_a_container_is_killed_in_the_middle(
    stack: Stack, repository: str, victim: str
) -> None:
    limit(stack, SLOW_BYTES_PER_SECOND)
    started = stack.xenkeep("backup", "web", "--to", repository, "--full")["name"]
    first_look_after(stack, started, READ_BYTES)
    stack.compose("kill", "--signal", "KILL", victim)
    stack.compose("start", victim)
    limit(stack, 0)
    stack.compose("up", "--detach", "--wait", "--no-recreate")
    *_, run = watch(stack, started)
    assert "STATE_SUCCEEDED" == run["state"], run
    restored = stack.xenkeep(
        "restore", run["tasks"][0]["result"]["point"]["point_id"], "--name", f"web after {victim}", "--wait"
    )
    assert "STATE_SUCCEEDED" == restored["state"]
    assert hash_of(stack, "web") == hash_of(stack, f"web after {victim}")


def test_facts_are_heard_outside(stack: Stack, repository: str) -> None:
    heard = stack.lines(
        "events", "tail", "--all", "--count", "1", "--type", "xenkeep.mover.v1.PointCommitted"
    )
    backup(stack, repository)
    (event,) = map(json.loads, heard)
    assert "xenkeep.mover.v1.PointCommitted" == event["type"]


def test_containers_stop_cleanly(stack: Stack) -> None:
    services = (*SERVICES, "nats", "simulator")
    stack.compose("stop")
    codes = {service: stack.state(service)["State"]["ExitCode"] for service in services}
    stack.compose("up", "--detach", "--wait", "--no-recreate")
    assert dict.fromkeys(services, 0) == codes


def test_what_is_known_moves_to_a_new_machine(stack: Stack, repository: str, tmp_path: Path) -> None:
    """Only the repositories are still there; all the rest comes out of the saved state."""

    def known() -> list[list[str]]:
        points, repositories, pools = (stack.xenkeep(noun, "list") for noun in ("point", "repo", "pool"))
        return [sorted(each["name"] for each in found) for found in (points, repositories, pools)]

    before = known()
    stack.script("deploy/state", "save", str(tmp_path / "state"))
    stack.compose("down", "--timeout", "20")
    stack.remove_volumes(but="repositories")
    stack.script("deploy/state", "restore", str(tmp_path / "state"))
    stack.up()
    assert before == known()
    assert "STATE_READY" == stack.xenkeep("repo", "show", repository)["state"]
    with pytest.raises(AssertionError, match="is not empty"):
        stack.script("deploy/state", "restore", str(tmp_path / "state"))
    stack.up()


def certificate(stack: Stack) -> str:
    """SHA-256 of the certificate of host-2, read on the host itself."""
    code = (
        "from pathlib import Path; from cryptography import x509;"
        "from cryptography.hazmat.primitives import hashes;"
        "pem = Path('/var/lib/xenkeep/pool/host-host-2.pem').read_bytes();"
        "print(x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex())"
    )
    return stack.inside("simulator", "python", "-c", code)


def backup(stack: Stack, repository: str) -> str:
    """The id of a point of VM ``web``."""
    run = stack.xenkeep("backup", "web", "--to", repository, "--wait")
    assert "STATE_SUCCEEDED" == run["state"], run
    return str(run["tasks"][0]["result"]["point"]["point_id"])


def hash_of(stack: Stack, vm: str) -> str:
    """SHA-256 of the first disk of a VM, as the simulated storage has it."""
    disk = stack.xenkeep("vm", "show", vm)["disks"][0]["disk_id"]
    answer = json.loads(
        stack.inside("simulator", "xenkeep-simulator", "hash-disk", "--control", SOCKET, disk)
    )
    return str(answer["sha256"])


def limit(stack: Stack, bytes_per_second: int) -> None:
    """Make the links of all hosts slow; 0 lifts the limit."""
    code = (
        "from pathlib import Path; from xenkeep.demo.pool import PoolControl;"
        f"PoolControl(Path('{SOCKET}')).limit({bytes_per_second})"
    )
    stack.inside("simulator", "python", "-c", code)


def watch(stack: Stack, run: str) -> Iterator[dict[str, Any]]:
    """A run whenever it changes, until it ended."""
    for line in stack.lines("run", "watch", run):
        yield json.loads(line)


def first_look_after(stack: Stack, run: str, read_bytes: int) -> None:
    """Return as soon as the run's task has read so much. Raises AssertionError when it ended before."""
    for seen in watch(stack, run):
        if any(
            int(task["progress"]["read_bytes"]) >= read_bytes
            for task in seen["tasks"]
            if task.get("progress")
        ):
            assert "STATE_RUNNING" == seen["state"]
            return
    raise AssertionError(f"{run} ended before {read_bytes} bytes were read")
