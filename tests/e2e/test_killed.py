"""Any process may be killed at any moment: it is started again, the work goes on, nothing is left behind."""

from collections.abc import Iterator

import pytest
from xenkeep.home import SERVICES
from xenkeep.hypervisor.v1 import restore_target_pb2
from xenkeep.mover.v1 import transfer_pb2
from xenkeep.scheduler.v1 import run_pb2

from tests.support.stack import MIB, REPOSITORY, Stack

PROGRAMS = [*SERVICES, "nats"]
LINK_BYTES_PER_SECOND = MIB
"""Per host, so that there is a middle."""


@pytest.fixture(autouse=True)
def lifted_limits(stack: Stack) -> Iterator[None]:
    yield
    stack.control.limit(0)


@pytest.mark.parametrize("program", PROGRAMS)
def test_killed_in_the_middle_of_a_backup_it_is_started_again_and_the_run_succeeds(
    stack: Stack, program: str
) -> None:
    before = stack.hashes("web")
    stack.control.limit(LINK_BYTES_PER_SECOND)
    run = stack.client.runs.backup(["web"], REPOSITORY, full=True)
    kill_in_the_middle(stack, program, run.name)

    done = ended(stack, run.name)

    assert run_pb2.Run.STATE_SUCCEEDED == done.state, done
    stack.wait_until_nothing_is_left()
    assert set() == unfinished_transfers(stack)
    point = done.tasks[0].result.point.point_id
    restored = stack.data("restore", point, "--name", f"after {program}", "--wait")["tasks"][0]["result"][
        "vm"
    ]
    assert before == stack.hashes(restored)


@pytest.mark.parametrize("program", PROGRAMS)
def test_killed_in_the_middle_of_a_restore_it_is_started_again_and_the_vm_comes_back(
    stack: Stack, program: str
) -> None:
    point = stack.backup("db")["result"]["point"]["point_id"]
    stack.control.limit(LINK_BYTES_PER_SECOND)
    placement = restore_target_pb2.Placement(vm_display_name=f"db despite {program}")
    run = stack.client.runs.restore(f"restorePoints/{point}", placement)
    kill_in_the_middle(stack, program, run.name)

    done = ended(stack, run.name)

    assert run_pb2.Run.STATE_SUCCEEDED == done.state, done
    assert stack.hashes("db") == stack.hashes(done.tasks[0].result.vm)
    stack.wait_until_nothing_is_left()
    assert set() == unfinished_transfers(stack)


def test_killed_all_at_once_with_their_supervisor_they_go_on_when_it_is_started_again(stack: Stack) -> None:
    stack.control.limit(LINK_BYTES_PER_SECOND)
    run = stack.client.runs.backup(["web"], REPOSITORY, full=True)
    stack.watch(run.name, has_moved)

    stack.kill_everything()
    stack.control.limit(0)
    stack.start()
    done = ended(stack, run.name)

    assert run_pb2.Run.STATE_SUCCEEDED == done.state, done
    stack.wait_until_nothing_is_left()
    assert set() == unfinished_transfers(stack)


def has_moved(run: run_pb2.Run) -> bool:
    return any(task.progress.done_bytes > MIB for task in run.tasks)


def unfinished_transfers(stack: Stack) -> set[str]:
    running = (transfer_pb2.Transfer.STATE_QUEUED, transfer_pb2.Transfer.STATE_RUNNING)
    return {transfer.name for transfer in stack.client.transfers.list() if transfer.state in running}


def kill_in_the_middle(stack: Stack, program: str, run: str) -> None:
    state = stack.watch(run, has_moved)
    assert run_pb2.Run.STATE_RUNNING == state.state, state
    dead = stack.pid(program)
    stack.kill(program)
    stack.control.limit(0)
    stack.wait_for_another(program, dead)


def ended(stack: Stack, name: str) -> run_pb2.Run:
    stack.wait_until_serving()
    return stack.watch(name)
