"""The plans there are: what may not be relied on any more."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from services.chassis.errors import DataLoss, NotFound
from services.mover.repository.context import Context
from services.mover.repository.format.names import PLANS
from services.mover.repository.format.plan import Plan, decode_plan, plan_name

_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Plans:
    """``unreadable`` are ids of plans whose packs nobody knows."""

    readable: tuple[Plan, ...] = ()
    unreadable: tuple[str, ...] = ()
    hidden: frozenset[bytes] = field(default=frozenset())

    @property
    def ids(self) -> frozenset[str]:
        return frozenset([plan.plan_id for plan in self.readable]).union(self.unreadable)

    def hides(self, pack: bytes) -> bool:
        """Whether the pack must not be relied on. With an unreadable plan any may be about to go."""
        return bool(self.unreadable) or pack in self.hidden


def listed_plans(context: Context) -> Plans:
    """Every plan; one that is carried out meanwhile is left out, an unreadable one is told."""
    readable: list[Plan] = []
    unreadable: list[str] = []
    for plan_id in listed_plan_ids(context):
        name = plan_name(plan_id)
        try:
            readable.append(decode_plan(context.objects.get("plan", name)[1], name))
        except NotFound:
            continue
        except DataLoss as error:
            unreadable.append(plan_id)
            context.on_notice("PRUNE_PLAN_UNREADABLE", f"{error.message} The next prune removes it.")
    hidden = frozenset(pack for plan in readable for pack in plan.packs)
    return Plans(tuple(readable), tuple(unreadable), hidden)


def listed_plan_ids(context: Context) -> list[str]:
    tails = (stored.name.removeprefix(PLANS) for stored in context.store.list(PLANS))
    return sorted(tail for tail in tails if len(tail) == 2 * _ID_BYTES)


def put_plan(context: Context, packs: Iterable[tuple[bytes, str]]) -> Plan:
    """A new plan; from its creation on its packs are out of deduplication."""
    plan = Plan(context.entropy(_ID_BYTES).hex(), context.now(), dict(packs))
    context.objects.put("plan", plan.name, {}, plan.encode())
    return plan
