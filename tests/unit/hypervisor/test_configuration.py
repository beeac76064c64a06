import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidInput
from services.hypervisor.domain.configuration import (
    Configuration,
    ConfiguredDisk,
    ConfiguredInterface,
    pack,
    unpack,
)
from services.hypervisor.domain.target import AttachedDisk, replaced_disks

_TEXT = st.text(max_size=20)


@given(
    st.builds(
        Configuration,
        pool_id=_TEXT,
        vm_id=_TEXT,
        vm_display_name=_TEXT,
        disks=st.lists(
            st.builds(
                ConfiguredDisk,
                disk_id=_TEXT,
                device=_TEXT,
                display_name=_TEXT,
                description=_TEXT,
                tags=st.lists(_TEXT, max_size=3).map(tuple),
                sr_id=_TEXT,
            ),
            max_size=3,
        ).map(tuple),
        interfaces=st.lists(st.builds(ConfiguredInterface, device=_TEXT, mac=_TEXT), max_size=3).map(tuple),
        archive=st.binary(max_size=100),
    )
)
def test_what_is_packed_unpacks(configuration: Configuration) -> None:
    assert configuration == unpack(pack(configuration))


@given(st.binary(max_size=200))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        unpack(data)


@given(st.data())
def test_a_damaged_header_is_refused_or_reads_as_text(data: st.DataObject) -> None:
    packed = bytearray(pack(Configuration("p", "v", "n", (), (), b"tar")))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert isinstance(unpack(bytes(packed)).vm_id, str)
    except InvalidInput as error:
        assert "VM_CONFIGURATION_INVALID" == error.reason


def test_only_what_the_restore_point_has_is_replaced() -> None:
    same, same_place, other = (
        AttachedDisk("same", "7", "a"),
        AttachedDisk("younger", "0", "b"),
        AttachedDisk("other", "1", "c"),
    )
    replaced, notices = replaced_disks((same, same_place, other), frozenset({"same"}), frozenset({"0"}))
    assert ("same", "younger") == replaced
    assert ["DISK_KEPT_DETACHED"] == [notice.code for notice in notices]
    assert "other" in notices[0].message
