"""How much at once."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.domain.admission import Defaults, admit, next_retry
from services.scheduler.domain.policy import Limits, Method, Selector
from services.scheduler.domain.run import (
    BackupRun,
    BackupTerms,
    Placement,
    RestoreRun,
    RestoreTerms,
    Run,
    RunState,
    with_task,
)
from services.scheduler.domain.task import Task, started
from tests.unit.scheduler.fakes import START

DEFAULTS = Defaults()


def run_of(run_id: str, *vms: tuple[str, str, str], limits: Limits | None = None, age: int = 0) -> Run:
    """``vms`` are (vm, host, pool)."""
    terms = BackupTerms(Selector(all=True), "r", Method.NORMAL, False, limits=limits or Limits())
    tasks = tuple(
        Task(run_id, f"{run_id}-{n}", n, f"pools/{pool}/vms/{vm}", vm, pool, host)
        for n, (vm, host, pool) in enumerate(vms)
    )
    created = START - timedelta(minutes=age)
    return Run(run_id, BackupRun(("x",), "r"), terms, created, state=RunState.RUNNING, tasks=tasks)


def start_all(runs: list[Run]) -> list[Run]:
    by_id = {run.run_id: run for run in runs}
    for task in admit(runs, DEFAULTS, START).start:
        by_id[task.run_id] = with_task(by_id[task.run_id], started(task, f"t-{task.task_id}", START), START)
    return list(by_id.values())


def test_four_tasks_of_a_run_start_and_the_others_say_what_they_wait_for() -> None:
    run = run_of("r", *((f"vm{n}", f"h{n}", "p") for n in range(6)))
    admission = admit([run], DEFAULTS, START)
    assert [task.display_name for task in admission.start] == ["vm0", "vm1", "vm2", "vm3"]
    assert {why for _, why in admission.waiting} == {"Waits: 4 tasks of this run are under way"}


def test_the_limit_of_a_host_holds_over_all_runs() -> None:
    runs = [
        run_of("old", ("a", "h", "p"), age=1),
        run_of("new", ("b", "h", "p"), ("c", "h", "p"), ("d", "", "p")),
    ]
    admission = admit(runs, DEFAULTS, START)
    assert [task.display_name for task in admission.start] == ["a", "b", "d"]
    assert [why for _, why in admission.waiting] == ["Waits: 2 tasks on VMs of its host are under way"]


def test_the_limit_of_a_storage_repository_holds_over_all_runs() -> None:
    wide = Limits(tasks_per_run=100, tasks_per_sr=2)
    old, new = (
        run_of("old", ("a", "h1", "p"), limits=wide, age=1),
        run_of("new", ("b", "h2", "p"), ("c", "h3", "p"), ("d", "h4", "p"), limits=wide),
    )
    on_one = [
        with_task(
            run, replace(task, sr_ids=("sr-2",) if task.display_name == "d" else ("sr-1", "sr-3")), START
        )
        for run in (old, new)
        for task in run.tasks
    ]
    runs = [on_one[0], replace(new, tasks=tuple(run.tasks[n] for n, run in enumerate(on_one[1:])))]
    admission = admit(runs, DEFAULTS, START)
    assert [task.display_name for task in admission.start] == ["a", "b", "d"]
    told = "Waits: 2 tasks on VMs with disks on its storage repository are under way"
    assert [(task.display_name, why) for task, why in admission.waiting] == [("c", told)]


def test_one_full_storage_repository_is_enough_to_wait_for() -> None:
    wide = Limits(tasks_per_run=100, tasks_per_sr=1)
    run = run_of("r", ("a", "h1", "p"), ("b", "h2", "p"), limits=wide)
    tasks = (
        replace(run.tasks[0], sr_ids=("full",)),
        replace(run.tasks[1], sr_ids=("empty", "full")),
    )
    admission = admit([replace(run, tasks=tasks)], DEFAULTS, START)
    assert (["a"], ["b"]) == (
        [task.display_name for task in admission.start],
        [task.display_name for task, _ in admission.waiting],
    )


def test_vms_that_do_not_run_wait_for_no_host() -> None:
    run = run_of("r", ("a", "", "p"), ("b", "", "p"), ("c", "", "p"))
    assert 3 > DEFAULTS.tasks_per_host
    assert ["a", "b", "c"] == [task.display_name for task in admit([run], DEFAULTS, START).start]


def test_a_restore_does_not_keep_the_same_subject_from_being_backed_up() -> None:
    backup = run_of("backup", ("a", "h", "p"))
    made = run_of("restore", ("a", "h", "p"), age=1)
    terms = RestoreTerms("point", "a", "repositories/r", Placement("pools/p"))
    restore = replace(made, spec=RestoreRun("point"), terms=terms)
    admission = admit([restore, backup], DEFAULTS, START)
    assert (["restore", "backup"], ()) == ([task.run_id for task in admission.start], admission.waiting)


def test_the_first_of_several_retries_is_what_the_scheduler_wakes_for() -> None:
    run = run_of("r", ("a", "h", "p"), ("b", "h", "p"), ("c", "h", "p"))
    moments = [START + timedelta(minutes=minutes) for minutes in (9, 2, -1)]
    tasks = tuple(replace(task, not_before=moment) for task, moment in zip(run.tasks, moments, strict=True))
    assert moments[1] == next_retry([replace(run, tasks=tasks)], START)


def test_the_limit_of_a_pool_holds_over_all_policies() -> None:
    wide = Limits(tasks_per_run=100)
    run = run_of("r", *((f"vm{n}", f"h{n}", "p") for n in range(10)), limits=wide)
    admission = admit([run], DEFAULTS, START)
    assert len(admission.start) == 8
    assert {why for _, why in admission.waiting} == {"Waits: 8 tasks in its pool are under way"}


def test_a_vm_is_never_in_two_backups_at_once() -> None:
    runs = start_all([run_of("one", ("a", "h", "p"), age=1), run_of("two", ("a", "h", "p"))])
    admission = admit(runs, DEFAULTS, START)
    assert admission.start == ()
    assert [why for _, why in admission.waiting] == ["Waits for run one, which is backing this VM up"]


def test_a_task_that_waits_for_its_retry_does_not_start_before() -> None:
    run = run_of("r", ("a", "h", "p"))
    later = START + timedelta(minutes=5)
    waiting = replace(run, tasks=(replace(run.tasks[0], not_before=later, activity="Waits for try 2"),))
    assert admit([waiting], DEFAULTS, START).start == ()
    assert next_retry([waiting], START) == later
    assert len(admit([waiting], DEFAULTS, later).start) == 1


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from("abcdef"), st.sampled_from(["", "h1", "h2"]), st.sampled_from(["p", "q"])
            ),
            max_size=8,
            unique_by=lambda vm: vm[0],
        ),
        max_size=4,
    )
)
def test_no_limit_is_ever_exceeded_and_something_starts_when_anything_can(
    wanted: list[list[tuple[str, str, str]]],
) -> None:
    runs = start_all([run_of(f"r{n}", *vms, age=n) for n, vms in enumerate(wanted)])
    active = [task for run in runs for task in run.tasks if task.transfer_id]
    assert all(sum(task.run_id == run.run_id for task in active) <= 4 for run in runs)
    assert all(sum(task.host_id == host for task in active) <= 2 for host in ("h1", "h2"))
    assert all(sum(task.pool_id == pool for task in active) <= 8 for pool in "pq")
    assert len({task.subject for task in active}) == len(active)
    assert bool(active) == any(run.tasks for run in runs)
    assert admit(runs, DEFAULTS, START).start == ()
