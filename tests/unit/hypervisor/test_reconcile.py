from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.hypervisor.domain.events import (
    ChangeTrackingLost,
    CoordinatorChanged,
    HostFailed,
    HostRecovered,
    VmAdded,
    VmChanged,
    VmMoved,
    VmPowerChanged,
    VmRemoved,
)
from services.hypervisor.domain.pool import Picture
from services.hypervisor.domain.reconcile import changes
from services.hypervisor.domain.vm import PowerState
from tests.unit.hypervisor.made import disk, host, picture, vm


def test_nothing_new_is_nothing_to_tell() -> None:
    assert () == changes(picture(vm()), picture(vm())).events


def test_vms_come_and_go() -> None:
    found = changes(picture(vm("old")), picture(vm("new")))
    assert (VmAdded(vm("new")), VmRemoved(vm("old"))) == found.events
    assert ((vm("new"),), ("old",)) == (found.vms_to_keep, found.vms_to_forget)


def test_a_vm_that_moved_has_not_changed() -> None:
    now = replace(vm(), host_id="h2", host_display_name="host 2")
    assert (VmMoved(now, "h1"),) == changes(picture(vm()), picture(now)).events


def test_a_vm_that_was_switched_off_has_not_moved() -> None:
    now = replace(vm(), power_state=PowerState.HALTED, host_id="", host_display_name="")
    assert (VmPowerChanged(now, PowerState.RUNNING),) == changes(picture(vm()), picture(now)).events


def test_a_renamed_vm_has_changed() -> None:
    now = replace(vm(), display_name="renamed")
    assert (VmChanged(now),) == changes(picture(vm()), picture(now)).events


def test_lost_tracking_is_told_and_tracking_switched_on_is_not() -> None:
    on, off = vm(disks=(disk(),)), vm(disks=(disk(tracking=False),))
    kinds = [type(event) for event in changes(picture(on), picture(off)).events]
    assert [VmChanged, ChangeTrackingLost] == kinds
    assert [VmChanged] == [type(event) for event in changes(picture(off), picture(on)).events]


def test_hosts_fail_and_recover() -> None:
    up, down = picture(hosts=(host(),)), picture(hosts=(host(live=False),))
    assert (HostFailed(host(live=False)),) == changes(up, down).events
    assert (HostRecovered(host()),) == changes(down, up).events


def test_another_coordinator_is_told_unless_it_is_the_first_seen() -> None:
    two = (host("h1"), host("h2"))
    moved = changes(picture(hosts=two), picture(coordinator="h2", hosts=two)).events
    assert (CoordinatorChanged("h1", "h2", "host h2"),) == moved
    assert () == changes(picture(coordinator="", hosts=two), picture(hosts=two)).events


_VMS = st.dictionaries(
    st.sampled_from("abc"),
    st.tuples(st.sampled_from(list(PowerState)), st.sampled_from(["", "h1", "h2"])),
)


def _made(vms: dict[str, tuple[PowerState, str]]) -> Picture:
    return picture(*(vm(name, power_state=power, host_id=at) for name, (power, at) in vms.items()))


@given(_VMS, _VMS)
def test_applying_the_changes_gives_what_was_seen(
    before: dict[str, tuple[PowerState, str]], after: dict[str, tuple[PowerState, str]]
) -> None:
    known, seen = _made(before), _made(after)
    found = changes(known, seen)
    vms = {key: each for key, each in known.vms.items() if key not in found.vms_to_forget}
    vms |= {each.vm_id: each for each in found.vms_to_keep}
    assert seen.vms == vms
    assert () == changes(seen, seen).events
