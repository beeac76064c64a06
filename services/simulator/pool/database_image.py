"""A pool's database as a dump holds it, fitted to the machine that takes it up."""

from dataclasses import dataclass
from typing import Any

from services.simulator.database.database import Database
from services.simulator.database.relations import MIRRORED, REFERENCES
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool

Values = dict[str, Any]
_OF_A_HOST = {"PIF": "host", "PBD": "host", "host_cpu": "host", "Certificate": "host", "PGPU": "host"}
"""Classes whose objects go with their host."""


@dataclass(frozen=True)
class DatabaseImage:
    """``rows`` are values by class and reference."""

    rows: dict[str, dict[str, Values]]

    @property
    def coordinator(self) -> str:
        """The host that led. Raises ``INTERNAL_ERROR`` for a dump without a pool."""
        (pool, *_) = self.rows.get("pool", {}).values() or [{}]
        master = pool.get("master", NULL_REF)
        if master not in self.rows.get("host", {}):
            raise XapiFailure("INTERNAL_ERROR", "Not_found")
        return str(master)

    def check(self, pool: Pool, host: Host) -> None:
        """Raises ``RESTORE_TARGET_MISSING_DEVICE``, ``RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP``."""
        here = {pool.db.row("PIF", pif)["device"] for pif in pool.db.row("host", host.ref)["PIFs"]}
        there = {pif["device"]: pif for pif in self._of("PIF", self.coordinator) if pif["physical"]}
        for device in sorted(there.keys() - here):
            raise XapiFailure("RESTORE_TARGET_MISSING_DEVICE", device)
        management = [row["device"] for row in pool.db.rows("PIF") if row["management"]]
        if not there.keys() & set(management):
            raise XapiFailure("RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP")

    def fitted(self, pool: Pool, host: Host) -> dict[str, dict[str, Values]]:
        """The rows as this machine has them: its uuid and MACs, no other host, nothing that runs."""
        leader = self.coordinator
        control_domain = self.rows["host"][leader]["control_domain"]
        macs = {row["device"]: row["MAC"] for row in pool.db.rows("PIF") if row["host"] == host.ref}
        kept = {cls: dict(rows) for cls, rows in self.rows.items()}
        kept["host"] = {leader: kept["host"][leader] | {"uuid": host.uuid, "address": host.address}}
        for cls, field in _OF_A_HOST.items():
            kept[cls] = {ref: row for ref, row in kept.get(cls, {}).items() if row[field] == leader}
        kept["PIF"] = {ref: row | {"MAC": macs.get(row["device"], "")} for ref, row in kept["PIF"].items()}
        kept["PBD"] = {ref: row | {"currently_attached": False} for ref, row in kept["PBD"].items()}
        kept["VM"] = {
            ref: row if ref == control_domain else _stopped(row)
            for ref, row in kept["VM"].items()
            if ref == control_domain or not row["is_control_domain"]
        }
        for cls in ("VBD", "VIF"):
            rows = kept.get(cls, {})
            kept[cls] = {
                ref: row | {"currently_attached": False, "current_operations": {}}
                for ref, row in rows.items()
                if row["VM"] in kept["VM"] and row["VM"] != control_domain
            }
        return kept

    def _of(self, cls: str, host: str) -> list[Values]:
        return [row for row in self.rows.get(cls, {}).values() if row[_OF_A_HOST[cls]] == host]


def _stopped(vm: Values) -> Values:
    """What was running went down with its host; what was suspended still is."""
    state = "Suspended" if vm["power_state"] == "Suspended" else "Halted"
    return vm | {"power_state": state, "resident_on": NULL_REF, "domid": -1, "current_operations": {}}


def replace_rows(db: Database, rows: dict[str, dict[str, Values]], keep: frozenset[str]) -> None:
    """Put ``rows`` in place of everything but the classes ``keep``. Mirrored sets follow from references."""
    for cls in db.tables:
        for row in db.rows(cls) if cls not in keep else ():
            db.delete(cls, row.ref)
    for cls, values_by_ref in rows.items():
        mirrors: Values = {field: [] for owner, field in MIRRORED if owner == cls}
        nulls = dict.fromkeys(REFERENCES.get(cls, ()), NULL_REF)
        for ref, values in values_by_ref.items():
            db.create(cls, ref, values | mirrors | nulls)
    for cls, values_by_ref in rows.items():
        references = set(REFERENCES.get(cls, ()))
        for ref, values in values_by_ref.items():
            db.update(cls, ref, **{name: value for name, value in values.items() if name in references})
    for cls, field in MIRRORED:
        for row in db.rows(cls) if cls in rows and field in db.model.classes[cls].fields else ():
            place = {ref: number for number, ref in enumerate(rows[cls][row.ref].get(field, []))}
            db.set(cls, row.ref, field, sorted(row[field], key=lambda ref: place.get(ref, len(place))))
