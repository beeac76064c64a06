"""What a metadata export is made to say before it is imported (xapi: import.ml).

It says exactly what is to be restored: disks that are not restored are left out (an import would otherwise
attach the original's), the VM is off, and it carries our tags from its first moment, so that a crash right
after the import leaves a VM that can be found.
"""

import copy
from collections.abc import Collection
from typing import Any

from services.hypervisor.adapters import xapi_tags
from services.hypervisor.adapters.xapi_archive import NULL, Archive, Archived, invalid

_STAYS_OFF = {"auto_poweron": "false"}


def media(archive: bytes) -> frozenset[str]:
    """UUIDs of the VDIs in drives for removable media."""
    told = Archive(archive)
    cds = {each.text("VDI") for each in told.of("VBD") if each.text("type") != "Disk"}
    return frozenset(each.text("uuid") for each in told.of("VDI") if each.id in cds)


def rewritten(
    archive: bytes, keep: Collection[str], name: str, tags: dict[str, str], memory: str = ""
) -> bytes:
    """The archive with only the VDIs ``keep`` (UUIDs), the VM called ``name`` ("" leaves its name), tagged.
    With ``memory`` the VM is suspended, its image being a VDI of that UUID: a new one, as of a snapshot the
    archive may tell of what its image was, and of a VM that ran it does not.

    Raises InvalidInput VM_CONFIGURATION_INVALID for an archive the pool cannot have made.
    """
    told = Archive(archive)
    dropped = [
        each for each in told.of("VDI") if each.text("uuid") not in keep or each.text("uuid") == memory
    ]
    image = _add_image(told, memory) if memory else NULL
    ids = {each.id for each in dropped}
    without_disk = [each for each in told.of("VBD") if each.text("VDI") in ids]
    gone = [each for each in without_disk if each.text("type") == "Disk"]
    for drive in without_disk:
        drive.set_text("VDI", NULL)
        drive.set_truth("empty", True)
    for each in (*dropped, *gone):
        told.remove(each)
    for vm in told.of("VM"):
        if not vm.true("is_control_domain"):
            _edit_vm(vm, {each.id for each in gone}, name, tags, image)
    return told.packed()


def vm_fields(archive: bytes) -> dict[str, Any]:
    """The VM's fields: texts, sets as lists, maps as dicts; numbers and truths are texts."""
    return Archive(archive).vm().plain()


def has_virtual_tpm(archive: bytes) -> bool:
    """Whether there is a virtual TPM."""
    return any(Archive(archive).of("VTPM"))


def for_another(archive: bytes, *, keys: bool) -> bytes:
    """The archive for a VM beside the original: it does not start with its host, and has no virtual TPM
    unless ``keys``. Its NVRAM (UEFI variables) stays: a guest without a fallback loader needs it to boot."""
    told = Archive(archive)
    for vm in told.of("VM"):
        vm.set_pairs("other_config", vm.pairs("other_config") | _STAYS_OFF)
        if not keys:
            vm.set_texts("VTPMs", [])
    for tpm in [] if keys else list(told.of("VTPM")):
        told.remove(tpm)
    return told.packed()


def _add_image(told: Archive, uuid: str) -> str:
    """Adds the suspend image, made after a disk of the VM. Its id."""
    disks = {each.text("VDI") for each in told.of("VBD") if each.text("type") == "Disk"}
    model = next((each for each in told.of("VDI") if each.id in disks), None)
    if model is None:
        raise invalid()
    image = told.add(copy.deepcopy(model.element))
    image.set_id(id := f"Ref:{uuid}")
    for field, text in {
        "uuid": uuid,
        "location": uuid,
        "type": "suspend",
        "name_label": "Suspend image",
        "snapshot_of": NULL,
    }.items():
        image.set_text(field, text)
    image.set_truth("is_a_snapshot", False)
    image.set_texts("VBDs", [])
    for field in ("other_config", "sm_config", "xenstore_data"):
        image.set_pairs(field, {})
    return id


def _edit_vm(vm: Archived, gone: Collection[str], name: str, tags: dict[str, str], image: str) -> None:
    vm.set_text("power_state", "Halted" if image == NULL else "Suspended")
    vm.set_text("suspend_VDI", image)
    vm.set_text("resident_on", NULL)
    vm.set_truth("ha_always_run", False)
    if name:
        vm.set_text("name_label", name)
    vm.set_texts("VBDs", [id for id in vm.texts("VBDs") if id not in gone])
    vm.set_pairs("other_config", {**xapi_tags.untagged(vm.pairs("other_config")), **tags})
