"""One VM or one snapshot out of a metadata export that tells of a VM and its snapshots (xapi: export.ml)."""

from services.hypervisor.adapters.xapi_archive import NULL, Archive, Archived, invalid

_OWNED = {"VBD": "VM", "VIF": "VM", "VGPU": "VM", "VTPM": "vTPM'_VM", "PVS_proxy": "VIF"}
"""Classes whose objects belong to a VM, or to something of one, by that field."""
_NEEDED = {
    "VM": ("metrics", "guest_metrics", "suspend_VDI", "resident_on", "affinity"),
    "VBD": ("VDI",),
    "VDI": ("SR",),
    "VIF": ("network",),
    "VGPU": ("GPU_group", "type"),
    "PVS_proxy": ("site",),
}
"""What else goes along, by fields: an import looks for all that is in an archive, or makes it."""
_OF_NO_OTHER = {"snapshot_of": NULL, "parent": NULL, "transportable_snapshot_id": ""}


def snapshots(archive: bytes) -> frozenset[str]:
    """UUIDs of the snapshots an archive tells of."""
    return frozenset(vm.text("uuid") for vm in Archive(archive).of("VM") if vm.true("is_a_snapshot"))


def part(archive: bytes, snapshot_id: str) -> bytes:
    """See ports.Restores.part_of."""
    told = Archive(archive)
    chosen = _snapshot(told, snapshot_id) if snapshot_id else told.vm()
    kept = _with_all_it_needs(told, chosen)
    for other in [each for each in told.objects if each.id not in kept]:
        told.remove(other)
    if snapshot_id:
        for field in ("is_a_snapshot", "is_a_template"):
            chosen.set_truth(field, False)
    for field, text in _OF_NO_OTHER.items():
        if chosen.has(field):
            chosen.set_text(field, text)
    for field in ("snapshots", "children"):
        chosen.set_texts(field, [])
    return told.packed()


def _snapshot(told: Archive, snapshot_id: str) -> Archived:
    for vm in told.of("VM"):
        if vm.true("is_a_snapshot") and vm.text("uuid") == snapshot_id:
            return vm
    raise invalid()


def _with_all_it_needs(told: Archive, vm: Archived) -> set[str]:
    kept, rest = {vm.id}, [vm]
    known = {each.id: each for each in told.objects}
    while rest:
        one = rest.pop()
        ids = {one.text(field) for field in _NEEDED.get(one.kind, ()) if one.has(field)}
        ids |= {
            each.id for each in told.objects if each.kind in _OWNED and each.text(_OWNED[each.kind]) == one.id
        }
        for id in ids - kept:
            if id in known:
                kept.add(id)
                rest.append(known[id])
    return kept
