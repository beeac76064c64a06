"""Which facts people are told of."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message
from xenkeep.catalog.v1.events_pb2 import RestorePointDamaged
from xenkeep.common.v1.bus_pb2 import MessageDeadLettered
from xenkeep.hypervisor.v1.events_pb2 import (
    ChangeTrackingLost,
    CoordinatorAgreed,
    CoordinatorChanged,
    CoordinatorContested,
    HostFailed,
    HostRecovered,
    PoolReachable,
    PoolUnreachable,
    VmMoved,
)
from xenkeep.mover.v1.events_pb2 import DamageFound, RepositoryVerified
from xenkeep.notifier.v1.events_pb2 import DeliveryFailed
from xenkeep.scheduler.v1.events_pb2 import (
    RunCancelled,
    RunFailed,
    RunFinished,
    TaskFailed,
    TaskFinished,
    TaskSkipped,
)

from services.chassis.bus.cloudevents import Meta
from services.chassis.bus.consumer import Handler
from services.chassis.sql import Transaction
from services.notifier.app.notify import Notify
from services.notifier.domain.notification import Story, notification_of
from services.notifier.ports import Books
from services.notifier.stories import bus, hypervisor, notifier, repository, scheduler

Teller = Callable[[Any], Story | None]

STORIES: Mapping[type[Message], Teller] = {
    RunFinished: scheduler.run_finished,
    RunFailed: scheduler.run_failed,
    RunCancelled: scheduler.run_cancelled,
    TaskFinished: scheduler.task_finished,
    TaskFailed: scheduler.task_failed,
    TaskSkipped: scheduler.task_skipped,
    PoolUnreachable: hypervisor.pool_unreachable,
    PoolReachable: hypervisor.pool_reachable,
    CoordinatorChanged: hypervisor.coordinator_changed,
    CoordinatorContested: hypervisor.coordinator_contested,
    CoordinatorAgreed: hypervisor.coordinator_agreed,
    HostFailed: hypervisor.host_failed,
    HostRecovered: hypervisor.host_recovered,
    VmMoved: hypervisor.vm_moved,
    ChangeTrackingLost: hypervisor.change_tracking_lost,
    DamageFound: repository.damage_found,
    RepositoryVerified: repository.repository_verified,
    RestorePointDamaged: repository.restore_point_damaged,
    DeliveryFailed: notifier.delivery_failed,
    MessageDeadLettered: bus.message_dead_lettered,
}

EVENT_TYPES = frozenset(event.DESCRIPTOR.full_name for event in STORIES)


def handlers(notify: Notify, books_of: Callable[[Transaction], Books]) -> Mapping[type[Message], Handler]:
    """The table for the consumer: the deliveries are written with the memory that the event was handled."""
    return {event: _handler(teller, notify, books_of) for event, teller in STORIES.items()}


def _handler(teller: Teller, notify: Notify, books_of: Callable[[Transaction], Books]) -> Handler:
    async def handle(tx: Transaction, event: Any, meta: Meta) -> None:
        story = teller(event)
        if story is not None:
            await notify.tell(
                books_of(tx),
                notification_of(story, event_id=meta.id, event_type=meta.type, occurred_at=meta.time),
            )

    return handle
