"""In which format disks come back, and what is said of those that cannot."""

import uuid
from dataclasses import replace

import pytest

from services.chassis.errors import FailedPrecondition
from services.hypervisor.adapters import xapi_image_formats
from services.hypervisor.app.readables import Readable
from services.hypervisor.domain.configuration import ConfiguredDisk
from services.hypervisor.domain.image_format import DiskStorage, changed, to_ask_for
from services.hypervisor.domain.target import Mode, Placement, Target, TargetDisk
from services.hypervisor.domain.vm import Method
from tests.support.hypervisor_house import POOL_ID
from tests.unit.hypervisor.scenes import Scene, codes

GIB = 1 << 30
NEW = Placement(POOL_ID, "", Mode.NEW_VM, "copy", keep_mac_addresses=False, start=False)
DISK = ConfiguredDisk("d", "0", "data", "", (), "sr")
BOTH, ONLY_VHD = DiskStorage("new", ("vhd", "qcow2")), DiskStorage("old", ("vhd",))
SILENT = DiskStorage("silent", None)


@pytest.mark.parametrize(
    ("had", "size", "storage", "asked"),
    [
        ("qcow2", 1 * GIB, BOTH, "qcow2"),
        ("vhd", 1 * GIB, BOTH, "vhd"),
        ("", 1 * GIB, BOTH, ""),
        ("raw", 1 * GIB, BOTH, ""),
        ("qcow2", 1 * GIB, ONLY_VHD, ""),
        ("qcow2", 1 * GIB, SILENT, ""),
        ("vhd", 2040 * GIB, ONLY_VHD, "vhd"),
        ("", 2040 * GIB + 512, BOTH, "qcow2"),
        ("qcow2", 3000 * GIB, SILENT, "qcow2"),
    ],
)
def test_what_is_asked_for(had: str, size: int, storage: DiskStorage, asked: str) -> None:
    assert asked == to_ask_for(replace(DISK, image_format=had), size, storage)


def test_a_disk_no_vhd_can_hold_is_refused_by_storage_that_makes_nothing_else() -> None:
    with pytest.raises(FailedPrecondition, match=r"'data' .*3221225472000 bytes.*'old'") as refused:
        to_ask_for(DISK, 3000 * GIB, ONLY_VHD)
    assert ("DISK_TOO_LARGE", True) == (refused.value.reason, "QCOW2" in refused.value.hint)


@pytest.mark.parametrize(
    ("had", "made", "told"),
    [
        ("qcow2", "vhd", True),
        ("qcow2", "", True),
        ("vhd", "", False),
        ("", "qcow2", False),
        ("vhd", "qcow2", True),
    ],
)
def test_a_change_of_format_is_told(had: str, made: str, told: bool) -> None:
    notices = changed(replace(DISK, image_format=had), made)
    assert ["IMAGE_FORMAT_CHANGED"] * told == [notice.code for notice in notices]


@pytest.mark.parametrize(
    ("name", "listed", "formats"),
    [
        ("Local EXT3 VHD", [], ("vhd",)),
        ("LVHD over iSCSI", [], ("vhd",)),
        ("Local EXT4 VHD and QCOW2", [], ("vhd", "qcow2")),
        ("LINSTOR resources on XCP-ng", [], None),
        ("Whatever", ["raw", "qcow2"], ("raw", "qcow2")),
    ],
)
def test_what_a_driver_makes_is_read(name: str, listed: list[str], formats: tuple[str, ...] | None) -> None:
    driver = {"name_label": name, "name_description": "SR plugin", "supported_image_formats": listed}
    assert formats == xapi_image_formats.made_by(driver)


async def _point(scene: Scene, *formats: str) -> Readable:
    for device, image_format in enumerate(formats):
        scene.pool.disks[scene.vm.disks[str(device)]].image_format = image_format
    return await scene.readable(Method.NORMAL)


async def _prepared(scene: Scene, point: Readable, sizes: dict[str, int] | None = None) -> Target:
    disks = tuple(
        TargetDisk(disk.disk_id, (sizes or {}).get(disk.device, disk.size_bytes), disk.display_name)
        for disk in point.source.disks
    )
    target, _ = await scene.inside.targets.prepare(str(uuid.uuid4()), NEW, point.configuration, disks)
    return target


async def test_disks_come_back_in_the_format_they_had(scene: Scene) -> None:
    scene.pool.sr_formats = {"sr-1": ("vhd", "qcow2")}
    target = await _prepared(scene, await _point(scene, "qcow2", "vhd"))
    made = [scene.pool.disks[disk.new_disk_id].image_format for disk in target.disks]
    assert (["qcow2", "vhd"], ()) == (made, target.notices)


async def test_storage_that_makes_another_format_gets_the_disks_and_it_is_told(scene: Scene) -> None:
    scene.pool.sr_formats = {"sr-1": ("vhd",)}
    target = await _prepared(scene, await _point(scene, "qcow2", "vhd"))
    assert ["IMAGE_FORMAT_CHANGED"] == [notice.code for notice in target.notices]
    assert "'root'" in target.notices[0].message


async def test_a_restore_that_does_not_fit_is_refused_before_anything_is_made(scene: Scene) -> None:
    point = await _point(scene, "vhd", "qcow2")
    before = set(scene.pool.disks)
    told: dict[str, tuple[str, ...]] = {"sr-1": ("vhd",)}
    for scene.pool.sr_formats in (told, {}):  # it is told beforehand, or found out by trying
        with pytest.raises(FailedPrecondition) as refused:
            await _prepared(scene, point, {"1": 3000 * GIB})
        assert "DISK_TOO_LARGE" == refused.value.reason
        assert before == set(scene.pool.disks)


async def test_that_all_of_a_disk_is_read_is_told_with_the_reason(scene: Scene) -> None:
    scene.pool.disks[scene.vm.disks["1"]].unread = "its tables are not at its head"
    source = await scene.open(Method.NORMAL)
    assert ["ALLOCATION_UNKNOWN"] == codes(source)
    assert "'data'" in source.notices[0].message and "not at its head" in source.notices[0].message
    assert [True, False] == [disk.allocation_known for disk in source.disks]
