"""The state of the storage below a VM (see ports.care.Storage; sm: sm_config vhd-parent, SR.scan)."""

from collections import Counter
from collections.abc import Collection

from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_migrations import is_migrating
from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.adapters.xapi_readers import XapiReaders
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.domain.care import THICK_TYPES, Chain, Room, SnapshotFacts, snapshot_cost

_PARENT = "vhd-parent"


class XapiStorage:
    """Chains and room on one session."""

    def __init__(self, objects: XapiObjects, readers: XapiReaders) -> None:
        self._objects = objects
        self._readers = readers

    async def snapshot_facts(self, vm_id: str, leave_out: Collection[str]) -> SnapshotFacts:
        """See ports.care.Storage."""
        with translating(f"looking at the storage of VM {vm_id}"):
            ref = await self._objects.ref("VM", vm_id)
            vm = await self._objects.record("VM", ref) if ref else None
            if vm is None:
                raise XapiFailure("UUID_INVALID", ["VM", vm_id])
            disks = [vdi for _, _, vdi in await self._objects.disks_of(vm) if vdi["uuid"] not in leave_out]
            chains, rooms = [], []
            for sr_ref in dict.fromkeys(vdi["SR"] for vdi in disks):
                sr = await self._objects.record("SR", sr_ref)
                if sr is None:
                    continue
                mine = [vdi for vdi in disks if vdi["SR"] == sr_ref]
                images = await self._objects.where("VDI", f'field "SR"="{sr_ref}"')
                chains += [_chain(vdi, sr, images) for vdi in mine]
                rooms.append(_room(sr, mine))
        return SnapshotFacts(tuple(chains), tuple(rooms), is_migrating(vm))

    async def reading_hosts(self) -> frozenset[str]:
        """See ports.care.Storage."""
        with translating("asking which hosts are alive"):
            return frozenset((await self._readers.live_hosts()).values())


def _chain(vdi: Record, sr: Record, images: dict[str, Record]) -> Chain:
    by_id = {image["uuid"]: image for image in images.values()}
    children = Counter(parent for image in images.values() if (parent := image["sm_config"].get(_PARENT)))
    length, uncoalesced = 0, 0
    parent, seen = vdi["sm_config"].get(_PARENT), set[str]()
    while parent and parent not in seen:
        seen.add(parent)
        length += 1
        uncoalesced += children[parent] == 1
        image = by_id.get(parent)
        parent = image["sm_config"].get(_PARENT) if image else None
    return Chain(vdi["name_label"], sr["name_label"], length, uncoalesced)


def _room(sr: Record, disks: list[Record]) -> Room:
    thick = sr["type"] in THICK_TYPES and sr["sm_config"].get("allocation", "thick") == "thick"
    return Room(
        display_name=sr["name_label"],
        size_bytes=int(sr["physical_size"]),
        used_bytes=int(sr["physical_utilisation"]),
        cost_bytes=sum(snapshot_cost(thick, int(vdi["virtual_size"])) for vdi in disks),
    )
