"""All services on PostgreSQL: whoever keeps state is killed, and started twice, and nothing is lost."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
from xenkeep.client import Client
from xenkeep.common.v1 import capture_pb2, point_pb2
from xenkeep.hypervisor.v1 import restore_target_pb2
from xenkeep.local.processes import leashed, services
from xenkeep.scheduler.v1 import run_pb2

from tests.e2e.test_killed import LINK_BYTES_PER_SECOND, ended, kill_in_the_middle, unfinished_transfers
from tests.support.ports import free_port
from tests.support.stack import MIB, PATIENCE_S, REPOSITORY, Stack, running_stack

WRITTEN = 6 * MIB


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, module_folder: Path, empty_database: str
) -> Iterator[Stack]:
    secret = tmp_path_factory.mktemp("secret") / "database-url"
    secret.write_text(empty_database)
    env = {"XENKEEP_DATABASE_URL_FILE": str(secret)}
    with running_stack(module_folder, env=env) as running:
        running.add_pool()
        running.add_repository()
        yield running


def test_full_incremental_and_restore_with_a_service_killed_in_each(stack: Stack) -> None:
    stack.control.limit(LINK_BYTES_PER_SECOND)
    full = stack.client.runs.backup(["web"], REPOSITORY)
    kill_in_the_middle(stack, "scheduler", full.name)
    first = point_of(ended(stack, full.name))
    assert capture_pb2.LEVEL_FULL == first.level

    stack.guest_writes(stack.disks("web")[0], 8 * MIB, os.urandom(WRITTEN))
    written = stack.hashes("web")
    stack.control.limit(LINK_BYTES_PER_SECOND)
    incremental = stack.client.runs.backup(["web"], REPOSITORY)
    kill_in_the_middle(stack, "catalog", incremental.name)
    second = point_of(ended(stack, incremental.name))
    assert capture_pb2.LEVEL_INCREMENTAL == second.level
    assert first.point_id == second.base_point_id

    stack.control.limit(LINK_BYTES_PER_SECOND)
    placement = restore_target_pb2.Placement(vm_display_name="web again")
    restore = stack.client.runs.restore(f"restorePoints/{second.point_id}", placement)
    kill_in_the_middle(stack, "hypervisor", restore.name)
    restored = ended(stack, restore.name)
    assert run_pb2.Run.STATE_SUCCEEDED == restored.state, restored
    assert written == stack.hashes(restored.tasks[0].result.vm)

    listed = [each["point"]["point_id"] for each in stack.data("point", "list", "--vm", "web")]
    assert [second.point_id, first.point_id] == listed
    stack.wait_until_nothing_is_left()
    assert set() == unfinished_transfers(stack)
    assert [] == [*(stack.home.path).glob("*/*.sqlite")], "nobody kept anything anywhere else"


def test_a_second_hypervisor_service_stands_by_and_goes_on_when_the_first_is_killed(stack: Stack) -> None:
    with twin_of_hypervisor(stack) as (twin, said):
        wait_for_line(said, "standing by")
        stack.kill("hypervisor")
        wait_for_line(said, "no longer standing by")
        twin.wait_until_serving("hypervisor", PATIENCE_S)
        assert {"db", "spare", "web"} <= {vm.display_name for vm in twin.vms.list()}
    stack.wait_until_serving()
    assert "STATE_SUCCEEDED" == stack.backup("db")["state"]


@contextmanager
def twin_of_hypervisor(stack: Stack) -> Iterator[tuple[Client, IO[str]]]:
    """Another process of the service on the same store, a client of it, and what it prints."""
    address = f"127.0.0.1:{free_port()}"
    program = next(each for each in services(stack.home) if each.name == "hypervisor")
    own = program.environment | {"XENKEEP_LISTEN": address} | stack.env
    home = replace(stack.home, addresses=stack.home.addresses | {"hypervisor": address})
    process = subprocess.Popen(
        leashed(program.command),
        env=os.environ | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    with process, Client(home) as client:
        try:
            yield client, process.stdout
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def wait_for_line(said: IO[str], words: str) -> None:
    assert any(words in line for line in said), f"it ended without {words!r}"


def point_of(run: run_pb2.Run) -> point_pb2.Point:
    assert run_pb2.Run.STATE_SUCCEEDED == run.state, run
    return run.tasks[0].result.point
