"""What belongs to a VM and is not in its metadata export (see ports.Snapshots)."""

from services.hypervisor.adapters import xapi_tags
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_objects import NULL, Record, XapiObjects
from services.hypervisor.adapters.xapi_times import moment
from services.hypervisor.domain.surroundings import OwnSnapshot, Surroundings


class XapiSurroundings:
    """Reads on one session."""

    def __init__(self, objects: XapiObjects) -> None:
        self._objects = objects

    async def surroundings(self, vm_id: str) -> Surroundings:
        """See ports.Snapshots. Parents of ours are passed over."""
        with translating(f"reading what belongs to VM {vm_id}"):
            ref = await self._objects.ref("VM", vm_id)
            vm = await self._objects.record("VM", ref) if ref else None
            if vm is None:
                return Surroundings()
            found = {each: await self._objects.record("VM", each) for each in vm["snapshots"]}
            records = {each: record for each, record in found.items() if record is not None}
            appliance = await self._objects.record("VM_appliance", vm.get("appliance", NULL))
        snapshots = [
            _described(record, records) for record in records.values() if not xapi_tags.source_of(record)
        ]
        return Surroundings(
            appliance_id=appliance["uuid"] if appliance else "",
            snapshots=tuple(sorted(snapshots, key=lambda each: (each.time, each.snapshot_id))),
        )


def _described(record: Record, all_: dict[str, Record]) -> OwnSnapshot:
    parent = all_.get(record["parent"])
    for _ in all_:
        if parent is None or not xapi_tags.source_of(parent):
            break
        parent = all_.get(parent["parent"])
    return OwnSnapshot(
        snapshot_id=record["uuid"],
        display_name=record["name_label"],
        description=record["name_description"],
        time=moment(record["snapshot_time"]),
        parent_id=parent["uuid"] if parent else "",
        with_memory=record["power_state"] == "Suspended",
    )
