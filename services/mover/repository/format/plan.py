"""Plans of what is about to be deleted (docs/repository-format.md, section 16)."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.mover.repository.format import canonical
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import FORMAT_VERSION, PLANS, pack_name, parse_pack_name


@dataclass(frozen=True, slots=True)
class Plan:
    """``packs`` by SHA-256, with their kind. ``made_time`` is RFC 3339, for people alone."""

    plan_id: str
    made_time: str
    packs: dict[bytes, str]

    @property
    def name(self) -> str:
        return plan_name(self.plan_id)

    def encode(self) -> bytes:
        names = sorted(pack_name(kind, sha256) for sha256, kind in self.packs.items())
        return canonical.encode(
            {"made_time": self.made_time, "packs": names, "plan": self.plan_id, "version": FORMAT_VERSION}
        )


def decode_plan(data: bytes, what: str) -> Plan:
    """Raises DataLoss naming ``what``, the plan's name, when it is another one or none."""
    fields = canonical.Fields(canonical.decode_object(data, what), what)
    if (plan_name(fields.text("plan")), fields.number("version")) != (what, FORMAT_VERSION):
        raise damaged(what, f"it is not this plan, of version {FORMAT_VERSION}")
    return Plan(fields.text("plan"), fields.text("made_time"), _packs(fields.texts("packs"), what))


def plan_name(plan_id: str) -> str:
    return PLANS + plan_id


def _packs(names: Iterable[str], what: str) -> dict[bytes, str]:
    packs: dict[bytes, str] = {}
    for name in names:
        parsed = parse_pack_name(name)
        if parsed is None:
            raise damaged(what, "it names something that is no pack")
        packs[parsed[1]] = parsed[0]
    return packs
