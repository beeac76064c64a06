"""The archive of a VM's metadata: a tar with ova.xml, an XML-RPC value (xapi: export.ml, import.ml).

Before an import it is made to say exactly what is to be restored: disks that are not restored are left out
(an import would otherwise attach the original's), the VM is off, and it carries our tags from its first
moment, so that a crash right after the import leaves a VM that can be found.
"""

import copy
import io
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from services.chassis.errors import InvalidInput
from services.hypervisor.adapters import xapi_tags

_NULL = "OpaqueRef:NULL"
_STAYS_OFF = {"auto_poweron": "false"}
_MAX_XML_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class _Object:
    """One exported object: its element, class, id and fields."""

    element: ET.Element
    kind: str
    id: str
    fields: ET.Element

    def text(self, name: str) -> str:
        return _text(_member(self.fields, name))


def media(archive: bytes) -> frozenset[str]:
    """UUIDs of the VDIs in drives for removable media."""
    objects = list(_objects(_parsed(archive)))
    cds = {each.text("VDI") for each in objects if each.kind == "VBD" and each.text("type") != "Disk"}
    return frozenset(each.text("uuid") for each in objects if each.kind == "VDI" and each.id in cds)


def rewritten(
    archive: bytes, keep: Collection[str], name: str, tags: dict[str, str], memory: str = ""
) -> bytes:
    """The archive with only the VDIs ``keep`` (UUIDs), the VM called ``name`` ("" leaves its name), tagged.
    With ``memory`` the VM is suspended, its image being a VDI of that UUID.

    Raises InvalidInput VM_CONFIGURATION_INVALID for an archive the pool cannot have made.
    """
    root = _parsed(archive)
    objects = list(_objects(root))
    data = _objects_data(root)
    image = _add_image(data, objects, memory) if memory else _NULL
    dropped = {each.id for each in objects if each.kind == "VDI" and each.text("uuid") not in keep}
    without_disk = [each for each in objects if each.kind == "VBD" and each.text("VDI") in dropped]
    gone = {each.id for each in without_disk if each.text("type") == "Disk"}
    for drive in without_disk:
        _set(_member(drive.fields, "VDI"), _NULL)
        _set_bool(_member(drive.fields, "empty"), True)
    for each in objects:
        if each.id in dropped or each.id in gone:
            data.remove(each.element)
        elif each.kind == "VM":
            _edit_vm(each.fields, gone, name, tags, image)
    return _archived(ET.tostring(root, encoding="utf-8", short_empty_elements=False))


def vm_fields(archive: bytes) -> dict[str, Any]:
    """The VM's fields: texts, sets as lists, maps as dicts; numbers and truths are texts."""
    for each in _objects(_parsed(archive)):
        if each.kind == "VM" and each.text("is_control_domain") != "1" and each.text("is_a_snapshot") != "1":
            return {
                member.findtext("name") or "": _plain(_required(member.find("value")))
                for member in each.fields
            }
    raise _invalid()


def has_virtual_tpm(archive: bytes) -> bool:
    """Whether there is a virtual TPM."""
    return any(each.kind == "VTPM" for each in _objects(_parsed(archive)))


def for_another(archive: bytes, *, keys: bool) -> bytes:
    """The archive for a VM beside the original: it does not start with its host, and has no virtual TPM
    unless ``keys``. Its NVRAM (UEFI variables) stays: a guest without a fallback loader needs it to boot."""
    root = _parsed(archive)
    data = _objects_data(root)
    for each in list(_objects(root)):
        if each.kind == "VTPM" and not keys:
            data.remove(each.element)
        elif each.kind == "VM":
            _set_pairs(each.fields, "other_config", _pairs_of(each.fields, "other_config") | _STAYS_OFF)
            if not keys:
                _required(_member(each.fields, "VTPMs").find("array/data")).clear()
    return _archived(ET.tostring(root, encoding="utf-8", short_empty_elements=False))


def _plain(value: ET.Element) -> Any:
    child = next(iter(value), None)
    if child is None:
        return value.text or ""
    if child.tag == "struct":
        return dict(_pairs(child))
    return [_text(each) for each in child[0]] if child.tag == "array" else child.text or ""


def _add_image(data: ET.Element, objects: list[_Object], uuid: str) -> str:
    """Adds the suspend image, made after a disk of the VM: of a VM that ran the pool exports none. Its id."""
    disks = {each.text("VDI") for each in objects if each.kind == "VBD" and each.text("type") == "Disk"}
    model = next((each for each in objects if each.kind == "VDI" and each.id in disks), None)
    if model is None:
        raise _invalid()
    element = copy.deepcopy(model.element)
    struct = _required(element.find("struct"))
    fields = _required(_member(struct, "snapshot").find("struct"))
    id = f"Ref:{uuid}"
    _set(_member(struct, "id"), id)
    for field, text in {
        "uuid": uuid,
        "location": uuid,
        "type": "suspend",
        "name_label": "Suspend image",
        "snapshot_of": _NULL,
    }.items():
        _set(_member(fields, field), text)
    _set_bool(_member(fields, "is_a_snapshot"), False)
    for collection in ("array/data", "struct"):
        for field in ("VBDs", "other_config", "sm_config", "xenstore_data"):
            found = _member(fields, field).find(collection)
            if found is not None:
                found.clear()
    data.append(element)
    return id


def _edit_vm(fields: ET.Element, gone: Collection[str], name: str, tags: dict[str, str], image: str) -> None:
    if _text(_member(fields, "is_control_domain")) == "1":
        return
    _set(_member(fields, "power_state"), "Halted" if image == _NULL else "Suspended")
    _set(_member(fields, "suspend_VDI"), image)
    _set(_member(fields, "resident_on"), _NULL)
    _set_bool(_member(fields, "ha_always_run"), False)
    if name:
        _set(_member(fields, "name_label"), name)
    vbds = _required(_member(fields, "VBDs").find("array/data"))
    for value in list(vbds):
        if _text(value) in gone:
            vbds.remove(value)
    kept = xapi_tags.untagged(_pairs_of(fields, "other_config"))
    _set_pairs(fields, "other_config", {**kept, **tags})


def _pairs_of(fields: ET.Element, name: str) -> dict[str, str]:
    return dict(_pairs(_required(_member(fields, name).find("struct"))))


def _set_pairs(fields: ET.Element, name: str, pairs: dict[str, str]) -> None:
    struct = _required(_member(fields, name).find("struct"))
    struct.clear()
    for key, text in pairs.items():
        member = ET.SubElement(struct, "member")
        ET.SubElement(member, "name").text = key
        ET.SubElement(member, "value").text = text


def _parsed(archive: bytes) -> ET.Element:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            member = tar.getmember("ova.xml")
            stream = tar.extractfile(member)
            if stream is None or member.size > _MAX_XML_BYTES:
                raise _invalid()
            xml = stream.read()
        if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
            raise _invalid()
        return ET.fromstring(xml)  # noqa: S314  the only attacks need a DTD, which was refused
    except (tarfile.TarError, KeyError, ET.ParseError) as error:
        raise _invalid() from error


def _archived(xml: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("ova.xml")
        info.size, info.mode = len(xml), 0o400
        tar.addfile(info, io.BytesIO(xml))
    return out.getvalue()


def _objects_data(root: ET.Element) -> ET.Element:
    return _required(_member(_required(root.find("struct")), "objects").find("array/data"))


def _objects(root: ET.Element) -> Iterator[_Object]:
    for value in _objects_data(root):
        struct = _required(value.find("struct"))
        fields = _required(_member(struct, "snapshot").find("struct"))
        yield _Object(value, _text(_member(struct, "class")), _text(_member(struct, "id")), fields)


def _pairs(struct: ET.Element) -> Iterator[tuple[str, str]]:
    for member in struct:
        yield member.findtext("name") or "", _text(_required(member.find("value")))


def _member(struct: ET.Element, name: str) -> ET.Element:
    for member in struct:
        if member.findtext("name") == name:
            return _required(member.find("value"))
    raise _invalid()


def _text(value: ET.Element) -> str:
    return "".join(value.itertext())


def _set(value: ET.Element, text: str) -> None:
    value.clear()
    value.text = text


def _set_bool(value: ET.Element, flag: bool) -> None:
    value.clear()
    ET.SubElement(value, "boolean").text = "1" if flag else "0"


def _required(element: ET.Element | None) -> ET.Element:
    if element is None:
        raise _invalid()
    return element


def _invalid() -> InvalidInput:
    return InvalidInput(
        "The VM configuration cannot be used: the pool's part of it is not a metadata export.",
        reason="VM_CONFIGURATION_INVALID",
        hint="Verify the restore point; restore from another point or another copy.",
    )
