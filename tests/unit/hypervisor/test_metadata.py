import io
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import InvalidInput
from services.hypervisor.adapters import xapi_tags
from services.hypervisor.adapters.xapi_metadata import media, rewritten

RECORDED = (Path(__file__).parents[2] / "contract/hypervisor/golden/export_metadata.tar").read_bytes()


def _plain(value: ET.Element) -> Any:
    child = next(iter(value), None)
    if child is None:
        return value.text or ""
    if child.tag == "struct":
        return {m.findtext("name"): _plain(m[1]) for m in child}
    return [_plain(each) for each in child[0]] if child.tag == "array" else child.text


def _objects(archive: bytes) -> list[dict[str, Any]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        stream = tar.extractfile("ova.xml")
        assert stream is not None
        objects: list[dict[str, Any]] = _plain(ET.fromstring(stream.read()))["objects"]
        return objects


def _of(archive: bytes, kind: str) -> list[dict[str, Any]]:
    return [each["snapshot"] for each in _objects(archive) if each["class"] == kind]


def _vm(archive: bytes) -> dict[str, Any]:
    return next(vm for vm in _of(archive, "VM") if vm["is_a_snapshot"] == "0")


def test_keeping_every_disk_changes_nothing_but_name_and_tags() -> None:
    disks = [vdi["uuid"] for vdi in _of(RECORDED, "VDI")]
    new = rewritten(RECORDED, disks, "renamed", {xapi_tags.TARGET: "t"})
    assert len(_objects(RECORDED)) == len(_objects(new))
    before, after = _vm(RECORDED), _vm(new)
    assert "renamed" == after["name_label"]
    assert before["other_config"] | {xapi_tags.TARGET: "t"} == after["other_config"]
    for vm in (before, after):
        del vm["name_label"], vm["other_config"], vm["power_state"], vm["suspend_VDI"], vm["resident_on"]
    assert before == after


def test_a_vm_that_comes_with_its_memory_is_suspended_on_it() -> None:
    disks = [vdi["uuid"] for vdi in _of(RECORDED, "VDI")]
    new = rewritten(RECORDED, disks, "", {}, memory="3fa1")
    vm, [image] = _vm(new), [each for each in _objects(new) if each["id"] == _vm(new)["suspend_VDI"]]
    assert ("Suspended", "OpaqueRef:NULL") == (vm["power_state"], vm["resident_on"])
    assert ("VDI", "3fa1", "suspend", [], "0") == (
        image["class"],
        image["snapshot"]["uuid"],
        image["snapshot"]["type"],
        image["snapshot"]["VBDs"],
        image["snapshot"]["is_a_snapshot"],
    )
    assert image["snapshot"]["SR"] in {each["id"] for each in _objects(new) if each["class"] == "SR"}
    assert set(disks) | {"3fa1"} == {vdi["uuid"] for vdi in _of(new, "VDI")}


def test_a_disk_that_is_not_restored_is_not_in_the_new_vm() -> None:
    vbds = {each["id"]: each["snapshot"] for each in _objects(RECORDED) if each["class"] == "VBD"}
    vdis = {each["id"]: each["snapshot"]["uuid"] for each in _objects(RECORDED) if each["class"] == "VDI"}
    own = [vdis[vbds[ref]["VDI"]] for ref in _vm(RECORDED)["VBDs"] if vbds[ref]["type"] == "Disk"]
    new = rewritten(RECORDED, own[:1], "", {})
    assert own[:1] == [vdi["uuid"] for vdi in _of(new, "VDI")]
    ids = {each["id"] for each in _objects(new) if each["class"] == "VBD"}
    assert set(_vm(new)["VBDs"]) <= ids
    assert len(_vm(RECORDED)["VBDs"]) - len(own) + 1 == len(_vm(new)["VBDs"])


def test_an_old_tag_of_ours_does_not_come_back() -> None:
    once = rewritten(RECORDED, [], "", {xapi_tags.TARGET: "old", xapi_tags.OBJECT: "x"})
    assert xapi_tags.TARGET not in _vm(rewritten(once, [], "", {}))["other_config"]


@pytest.mark.parametrize("archive", [b"", b"not a tar", bytes(10240)])
def test_what_the_pool_cannot_have_made_is_refused(archive: bytes) -> None:
    with pytest.raises(InvalidInput):
        media(archive)


def test_entities_are_refused_before_they_are_read() -> None:
    xml = b'<!DOCTYPE v [<!ENTITY a "aaaaaaaaaa">]><value>&a;</value>'
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("ova.xml")
        info.size = len(xml)
        tar.addfile(info, io.BytesIO(xml))
    with pytest.raises(InvalidInput):
        media(out.getvalue())
