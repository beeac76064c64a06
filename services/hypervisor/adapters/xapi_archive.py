"""A metadata export as objects with fields: a tar with ova.xml, an XML-RPC value (xapi: export.ml)."""

import io
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.chassis.errors import InvalidInput

NULL = "OpaqueRef:NULL"
_MAX_XML_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Archived:
    """One exported object: its element, class, id and fields."""

    element: ET.Element
    kind: str
    id: str
    _fields: ET.Element

    def has(self, name: str) -> bool:
        """Whether the release it comes from knows the field."""
        return any(each.findtext("name") == name for each in self._fields)

    def text(self, name: str) -> str:
        return _text(_member(self._fields, name))

    def true(self, name: str) -> bool:
        return self.text(name) == "1"

    def texts(self, name: str) -> list[str]:
        return [_text(each) for each in self._collection(name, "array/data")]

    def pairs(self, name: str) -> dict[str, str]:
        return dict(_pairs(self._collection(name, "struct")))

    def plain(self) -> dict[str, Any]:
        """Its fields: texts, sets as lists, maps as dicts; numbers and truths are texts."""
        return {each.findtext("name") or "": _plain(_required(each.find("value"))) for each in self._fields}

    def set_id(self, id: str) -> None:
        _set(_member(_required(self.element.find("struct")), "id"), id)

    def set_text(self, name: str, text: str) -> None:
        _set(_member(self._fields, name), text)

    def set_truth(self, name: str, flag: bool) -> None:
        value = _member(self._fields, name)
        value.clear()
        ET.SubElement(value, "boolean").text = "1" if flag else "0"

    def set_texts(self, name: str, texts: list[str]) -> None:
        data = self._collection(name, "array/data")
        data.clear()
        for text in texts:
            ET.SubElement(data, "value").text = text

    def set_pairs(self, name: str, pairs: dict[str, str]) -> None:
        struct = self._collection(name, "struct")
        struct.clear()
        for key, text in pairs.items():
            member = ET.SubElement(struct, "member")
            ET.SubElement(member, "name").text = key
            ET.SubElement(member, "value").text = text

    def _collection(self, name: str, path: str) -> ET.Element:
        return _required(_member(self._fields, name).find(path))


class Archive:
    """What an export holds; changed in place. Raises InvalidInput VM_CONFIGURATION_INVALID for what a pool
    cannot have made."""

    def __init__(self, archive: bytes) -> None:
        self._root = _parsed(archive)
        self._data = _required(_member(_required(self._root.find("struct")), "objects").find("array/data"))
        self.objects = [_object(value) for value in self._data]

    def of(self, kind: str) -> Iterator[Archived]:
        return (each for each in self.objects if each.kind == kind)

    def by_id(self, id: str) -> Archived:
        for each in self.objects:
            if each.id == id:
                return each
        raise invalid()

    def vm(self) -> Archived:
        """The VM it was made of."""
        for each in self.of("VM"):
            if not each.true("is_control_domain") and not each.true("is_a_snapshot"):
                return each
        raise invalid()

    def remove(self, gone: Archived) -> None:
        self._data.remove(gone.element)
        self.objects.remove(gone)

    def add(self, element: ET.Element) -> Archived:
        self._data.append(element)
        self.objects.append(made := _object(element))
        return made

    def packed(self) -> bytes:
        """The archive as it is now."""
        xml = ET.tostring(self._root, encoding="utf-8", short_empty_elements=False)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:", format=tarfile.USTAR_FORMAT) as tar:
            info = tarfile.TarInfo("ova.xml")
            info.size, info.mode = len(xml), 0o400
            tar.addfile(info, io.BytesIO(xml))
        return out.getvalue()


def invalid() -> InvalidInput:
    """Of an archive that is none."""
    return InvalidInput(
        "The VM configuration cannot be used: the pool's part of it is not a metadata export.",
        reason="VM_CONFIGURATION_INVALID",
        hint="Verify the restore point; restore from another point or another copy.",
    )


def _parsed(archive: bytes) -> ET.Element:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            member = tar.getmember("ova.xml")
            stream = tar.extractfile(member)
            if stream is None or member.size > _MAX_XML_BYTES:
                raise invalid()
            xml = stream.read()
        if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
            raise invalid()
        return ET.fromstring(xml)  # noqa: S314  the only attacks need a DTD, which was refused
    except (tarfile.TarError, KeyError, ET.ParseError) as error:
        raise invalid() from error


def _object(value: ET.Element) -> Archived:
    struct = _required(value.find("struct"))
    fields = _required(_member(struct, "snapshot").find("struct"))
    return Archived(value, _text(_member(struct, "class")), _text(_member(struct, "id")), fields)


def _plain(value: ET.Element) -> Any:
    child = next(iter(value), None)
    if child is None:
        return value.text or ""
    if child.tag == "struct":
        return dict(_pairs(child))
    return [_text(each) for each in child[0]] if child.tag == "array" else child.text or ""


def _pairs(struct: ET.Element) -> Iterator[tuple[str, str]]:
    for member in struct:
        yield member.findtext("name") or "", _text(_required(member.find("value")))


def _member(struct: ET.Element, name: str) -> ET.Element:
    for member in struct:
        if member.findtext("name") == name:
            return _required(member.find("value"))
    raise invalid()


def _text(value: ET.Element) -> str:
    return "".join(value.itertext())


def _set(value: ET.Element, text: str) -> None:
    value.clear()
    value.text = text


def _required(element: ET.Element | None) -> ET.Element:
    if element is None:
        raise invalid()
    return element
