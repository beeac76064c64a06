"""What each event tells."""

from typing import Any

import pytest
from google.protobuf.message import Message
from xenkeep.catalog.v1.catalog_pb2 import RestorePoint
from xenkeep.catalog.v1.events_pb2 import RestorePointDamaged
from xenkeep.common.v1.bus_pb2 import MessageDeadLettered
from xenkeep.common.v1.capture_pb2 import Failure, Notice
from xenkeep.common.v1.point_pb2 import Asset, Point
from xenkeep.hypervisor.v1 import events_pb2 as hypervisor
from xenkeep.mover.v1.events_pb2 import DamageFound, RepositoryVerified
from xenkeep.mover.v1.transfer_pb2 import Damage, SampleResult, TransferResult
from xenkeep.notifier.v1.events_pb2 import DeliveryFailed
from xenkeep.notifier.v1.notifier_pb2 import Delivery
from xenkeep.scheduler.v1 import events_pb2 as scheduler
from xenkeep.scheduler.v1.run_pb2 import BackupRun, PolicyRun, RestoreRun, Run, RunSpec, Task

from services.notifier.consumers import STORIES
from services.notifier.domain.notification import Severity, Story

POOL = {"pool": "pools/p", "pool_display_name": "lab"}
HOST = {**POOL, "host_id": "h", "host_display_name": "xs1"}
FULL = Notice(code="FULL_REASON_TRACKING_LOST", message="A full was taken")
NIGHTLY = RunSpec(policy=PolicyRun(policy="policies/nightly"))


def task(name: str, state: Task.State.ValueType, **more: Any) -> Task:
    return Task(name=f"runs/r/tasks/{name}", subject_display_name=name, state=state, **more)


DONE = task(
    "web", Task.STATE_SUCCEEDED, result=TransferResult(point=Point(read_bytes=2048, stored_bytes=1024))
)
REMARKED = task("files", Task.STATE_SUCCEEDED, result=TransferResult(notices=[FULL]))
SKIPPED = task("old", Task.STATE_SKIPPED, failure=Failure(message="the VM is gone"))
FAILED = task(
    "db", Task.STATE_FAILED, failure=Failure(message="the SR is full", hint="Make room."), attempt=3
)


def told(event: Message) -> Story | None:
    return STORIES[type(event)](event)


@pytest.mark.parametrize(
    ("event", "severity", "line"),
    [
        (scheduler.RunFinished(run=Run(spec=NIGHTLY, tasks=[DONE])), 1, "nightly: 1 VM backed up"),
        (
            scheduler.RunFinished(run=Run(spec=NIGHTLY, tasks=[DONE, REMARKED, SKIPPED])),
            2,
            "nightly: 2 VMs backed up, 1 skipped, with 1 remark",
        ),
        (
            scheduler.RunFinished(run=Run(spec=RunSpec(restore=RestoreRun()), tasks=[DONE])),
            1,
            "restore of web: 1 VM restored",
        ),
        (
            scheduler.RunFailed(run=Run(spec=RunSpec(backup=BackupRun()), tasks=[DONE, FAILED])),
            3,
            "backup by hand: 1 of 2 VMs not backed up",
        ),
        (
            scheduler.RunFailed(run=Run(spec=NIGHTLY, failure=Failure(message="no VM matches"))),
            3,
            "nightly: could not start: no VM matches",
        ),
        (
            scheduler.RunCancelled(run=Run(spec=NIGHTLY, tasks=[DONE, FAILED])),
            2,
            "nightly: cancelled; 1 of 2 VMs backed up before",
        ),
        (scheduler.TaskFinished(task=REMARKED), 2, "files: done, with 1 remark: A full was taken"),
        (scheduler.TaskFailed(policy="nightly", task=FAILED), 3, "db: given up: the SR is full"),
        (scheduler.TaskSkipped(policy="policies/nightly", task=SKIPPED), 2, "old: skipped: the VM is gone"),
        (hypervisor.PoolUnreachable(**POOL), 3, "lab: the pool cannot be reached"),
        (hypervisor.PoolReachable(**POOL), 1, "lab: the pool answers again"),
        (
            hypervisor.CoordinatorChanged(**POOL, new_host_display_name="xs2"),
            2,
            "lab: xs2 is the pool's coordinator now",
        ),
        (
            hypervisor.CoordinatorContested(**POOL, message="a and b"),
            3,
            "lab: more than one host leads the pool",
        ),
        (hypervisor.CoordinatorAgreed(**POOL), 1, "lab: one host leads the pool again"),
        (hypervisor.HostFailed(**HOST), 3, "xs1: the pool believes that this host is dead"),
        (hypervisor.HostRecovered(**HOST), 1, "xs1: the host is back"),
        (hypervisor.VmMoved(vm="v", vm_display_name="db", new_host_id="h2"), 1, "db: runs on h2 now"),
        (
            hypervisor.ChangeTrackingLost(disk_id="d"),
            2,
            "disk d: changed block tracking was lost; the next backup of the disk is a full",
        ),
        (
            DamageFound(
                repository="repositories/r", damages=[Damage(object="packs/1", point_ids=["a", "b"])]
            ),
            3,
            "repositories/r: damage found: 1 object, 2 restore points not restorable completely",
        ),
        (
            RepositoryVerified(repository_display_name="nas", full=True, sound_point_ids=["a", "b"]),
            1,
            "nas: verified, every chunk decoded: 2 restore points whole",
        ),
        (
            RepositoryVerified(repository_display_name="nas", damaged_point_ids=["a"]),
            3,
            "nas: verified, every object compared with its name: 0 restore points whole, 1 damaged",
        ),
        (
            RepositoryVerified(
                repository_display_name="nas",
                full=True,
                sample=SampleResult(checked_pack_count=12, pack_count=100),
            ),
            1,
            "nas: verified by sample, every chunk decoded in 12 of 100 packs",
        ),
        (
            RestorePointDamaged(
                restore_point=RestorePoint(
                    point=Point(asset=Asset(display_name="db")), state_message="pack gone"
                )
            ),
            3,
            "db: a restore point cannot be restored completely: pack gone",
        ),
        (
            DeliveryFailed(delivery=Delivery(channel="channels/mail", recipient="a@example.org", attempts=8)),
            3,
            "channel mail: a message to a@example.org was given up after 8 attempts",
        ),
        (
            MessageDeadLettered(
                consumer="catalog", message_type="xenkeep.mover.v1.PointCommitted", detail="Bad."
            ),
            3,
            "catalog: could not handle a PointCommitted and set it aside: Bad.",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Message) else "",
)
def test_an_event_is_told_in_one_line_with_the_right_severity(
    event: Message, severity: int, line: str
) -> None:
    story = told(event)
    assert story is not None
    assert (story.severity, f"{story.about}: {story.headline}") == (Severity(severity), line)


@pytest.mark.parametrize("event", STORIES, ids=lambda event: event.__name__)
def test_an_event_without_any_field_is_told_all_the_same(event: type[Message]) -> None:
    story = told(event())
    assert story is None or (story.headline and isinstance(story.severity, Severity))


@pytest.mark.parametrize(
    "event",
    [
        scheduler.TaskFinished(task=DONE),
        DeliveryFailed(delivery=Delivery(event_type="xenkeep.notifier.v1.DeliveryFailed")),
        MessageDeadLettered(message_type="xenkeep.common.v1.MessageDeadLettered"),
    ],
    ids=["a task that went well", "a failure to tell of a failure", "a dead letter about a dead letter"],
)
def test_some_events_are_no_news(event: Message) -> None:
    assert told(event) is None


def test_a_failure_and_its_recovery_are_one_incident() -> None:
    failed, back = told(hypervisor.HostFailed(**HOST)), told(hypervisor.HostRecovered(**HOST))
    assert failed is not None and back is not None
    assert failed.incident == back.incident


def test_a_run_and_its_tasks_are_one_incident() -> None:
    run = told(scheduler.RunFailed(run=Run(spec=NIGHTLY, tasks=[FAILED])))
    single = [
        told(scheduler.TaskFailed(policy=name, task=FAILED)) for name in ("nightly", "policies/nightly")
    ]
    assert run is not None
    assert {run.incident} == {story.incident for story in single if story}


def test_a_failed_run_names_what_failed_and_the_way_out() -> None:
    story = told(scheduler.RunFailed(run=Run(name="runs/r", spec=NIGHTLY, tasks=[DONE, FAILED, SKIPPED])))
    assert story is not None
    assert story.advice == "Make room."
    assert story.details == (
        ("Run", "runs/r"),
        ("Read", "2.0 KiB"),
        ("Stored", "1.0 KiB"),
        ("db", "failed: the SR is full"),
        ("old", "skipped: the VM is gone"),
    )


def test_a_run_of_a_thousand_failures_is_still_a_message() -> None:
    story = told(scheduler.RunFailed(run=Run(spec=NIGHTLY, tasks=[FAILED] * 1000)))
    assert story is not None
    assert story.headline == "1000 of 1000 VMs not backed up"
    assert story.details[-1] == ("And", "950 more lines; the run has them all")


def test_a_broken_channel_is_not_told_of_itself() -> None:
    story = told(DeliveryFailed(delivery=Delivery(channel="channels/mail")))
    assert story is not None
    assert story.except_channel == "mail"
