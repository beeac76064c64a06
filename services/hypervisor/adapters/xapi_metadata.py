"""The archive of a VM's metadata: a tar with ova.xml, an XML-RPC value (xapi: export.ml, import.ml).

Before an import it is made to say exactly what is to be restored: disks that are not restored are left out
(an import would otherwise attach the original's), the VM is off, and it carries our tags from its first
moment, so that a crash right after the import leaves a VM that can be found.
"""

import io
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from services.chassis.errors import InvalidInput
from services.hypervisor.adapters import xapi_tags

_NULL = "OpaqueRef:NULL"
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


def rewritten(archive: bytes, keep: Collection[str], name: str, tags: dict[str, str]) -> bytes:
    """The archive with only the VDIs ``keep`` (UUIDs), the VM called ``name`` ("" leaves its name), tagged.

    Raises InvalidInput VM_CONFIGURATION_INVALID for an archive the pool cannot have made.
    """
    root = _parsed(archive)
    objects = list(_objects(root))
    dropped = {each.id for each in objects if each.kind == "VDI" and each.text("uuid") not in keep}
    without_disk = [each for each in objects if each.kind == "VBD" and each.text("VDI") in dropped]
    gone = {each.id for each in without_disk if each.text("type") == "Disk"}
    for drive in without_disk:
        _set(_member(drive.fields, "VDI"), _NULL)
        _set_bool(_member(drive.fields, "empty"), True)
    data = _objects_data(root)
    for each in objects:
        if each.id in dropped or each.id in gone:
            data.remove(each.element)
        elif each.kind == "VM":
            _edit_vm(each.fields, gone, name, tags)
    return _archived(ET.tostring(root, encoding="utf-8", short_empty_elements=False))


def _edit_vm(fields: ET.Element, gone: Collection[str], name: str, tags: dict[str, str]) -> None:
    if _text(_member(fields, "is_control_domain")) == "1":
        return
    _set(_member(fields, "power_state"), "Halted")
    _set(_member(fields, "suspend_VDI"), _NULL)
    if name:
        _set(_member(fields, "name_label"), name)
    vbds = _required(_member(fields, "VBDs").find("array/data"))
    for value in list(vbds):
        if _text(value) in gone:
            vbds.remove(value)
    config = _required(_member(fields, "other_config").find("struct"))
    kept = xapi_tags.untagged(dict(_pairs(config)))
    config.clear()
    for key, text in {**kept, **tags}.items():
        member = ET.SubElement(config, "member")
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
