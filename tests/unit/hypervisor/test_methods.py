"""What a guest is, and what comes of each method before anything is done."""

from dataclasses import replace
from typing import Any

import pytest

from services.hypervisor.adapters.xapi_guests import guest_facts, memory_obstacle
from services.hypervisor.domain.guest import GuestFacts, domain_controller_hint
from services.hypervisor.domain.methods import checks
from services.hypervisor.domain.source import Consistency
from services.hypervisor.domain.vm import Method, PowerState
from services.hypervisor.wire.vms import vm_to_proto
from tests.unit.hypervisor.made import vm

WINDOWS = "Windows Server 2022 Standard"


def _record(**fields: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "name_label": "web",
        "tags": [],
        "power_state": "Running",
        "blocked_operations": {},
        "allowed_operations": [],
        "platform": {},
        "other_config": {},
        "VTPMs": [],
        "VGPUs": [],
        "VUSBs": [],
        "attached_PCIs": [],
    }
    return plain | fields


def _metrics(**other: str) -> dict[str, Any]:
    return {"other": {"feature-suspend": "1", **other}}


@pytest.mark.parametrize("name", ["dc01", "SRV-DC1", "dc", "pdc", "corp-rodc-2", "DC 3.example.org"])
def test_a_windows_vm_with_such_a_name_seems_to_be_a_domain_controller(name: str) -> None:
    assert name in domain_controller_hint(name, (), WINDOWS)
    assert name in domain_controller_hint(name, (), "")
    assert "" == domain_controller_hint(name, (), "Debian GNU/Linux 12")


@pytest.mark.parametrize("name", ["web", "abcdc1", "dcim", "mdc01x", "adc"])
def test_other_names_point_to_nothing(name: str) -> None:
    assert "" == domain_controller_hint(name, (), WINDOWS)


def test_a_tag_is_a_persons_word_for_it() -> None:
    assert "'DC'" in domain_controller_hint("samba", ("web", "DC"), "Debian GNU/Linux 12")


@pytest.mark.parametrize(
    ("fields", "metrics", "restrictions", "why"),
    [
        ({}, _metrics(), {}, ""),
        ({"power_state": "Suspended"}, {}, {}, ""),
        ({}, _metrics(), {"restrict_checkpoint": "true"}, "licence"),
        ({"blocked_operations": {"checkpoint": "no"}}, _metrics(), {}, "blocked"),
        ({"power_state": "Halted"}, _metrics(), {}, "off"),
        ({"power_state": "Paused"}, _metrics(), {}, "paused"),
        ({"platform": {"nested-virt": "true"}}, _metrics(), {}, "nested"),
        ({"VGPUs": ["OpaqueRef:1"]}, _metrics(), {}, "vGPU"),
        ({"VGPUs": ["OpaqueRef:1"], "allowed_operations": ["checkpoint"]}, _metrics(), {}, ""),
        ({"other_config": {"pci": "0/0000:3b:00.0"}}, _metrics(), {}, "0000:3b:00.0"),
        ({"VUSBs": ["OpaqueRef:1"]}, _metrics(), {}, "USB"),
        ({}, _metrics(**{"data-cant-suspend-reason": "busy"}), {}, "busy"),
        ({}, {"other": {}}, {}, "tools"),
        ({}, None, {}, "tools"),
    ],
)
def test_why_memory_cannot_be_captured_is_said(
    fields: dict[str, Any], metrics: dict[str, Any] | None, restrictions: dict[str, str], why: str
) -> None:
    told = memory_obstacle(_record(**fields), metrics, restrictions)
    assert bool(why) == bool(told)
    assert why in told


def test_what_a_guest_tells_is_read() -> None:
    metrics = {
        "os_version": {"name": WINDOWS, "distro": "windows", "major": "10", "minor": "0"},
        "PV_drivers_version": {"major": "9", "minor": "4", "micro": "0", "build": "146"},
        "PV_drivers_detected": True,
        "live": True,
        "networks": {"0/ip": "192.0.2.7", "0/ipv6/0": "2001:db8::7", "1/ip": ""},
        "other": {},
    }
    facts = guest_facts(_record(name_label="dc01", VTPMs=["OpaqueRef:1"]), metrics)
    assert (
        GuestFacts(
            os_name=WINDOWS,
            distribution="windows",
            os_version="10.0",
            drivers_version="9.4.0.146",
            drivers_detected=True,
            agent=True,
            domain_controller_hint=f"it is called 'dc01' and runs {WINDOWS}",
            vtpm=True,
            addresses=("192.0.2.7", "2001:db8::7"),
        )
        == facts
    )
    assert GuestFacts() == guest_facts(_record(), None)


def test_each_method_says_what_it_guarantees_or_why_it_cannot_be_used() -> None:
    runs = vm(power_state=PowerState.RUNNING, quiesce_obstacle="the pool does not offer it")
    told = {check.method: check for check in checks(runs, "no agent")}
    assert [Method.NORMAL, Method.OFFLINE, Method.MEMORY] == [m for m in told if told[m].usable]
    assert Consistency.CRASH is told[Method.NORMAL].consistency
    assert Consistency.MEMORY is told[Method.MEMORY].consistency
    assert "the pool does not offer it; no agent" == told[Method.QUIESCED].obstacle
    assert all(check.usable for check in checks(runs, ""))


def test_a_vm_that_is_off_needs_neither_a_shutdown_nor_quiescing() -> None:
    off = vm(power_state=PowerState.HALTED, memory_obstacle="it is off", quiesce_obstacle="no")
    told = {check.method: check.consistency for check in checks(off) if check.usable}
    assert {method: Consistency.POWERED_OFF for method in Method if method is not Method.MEMORY} == told


def test_the_memory_of_a_domain_controller_has_to_be_allowed() -> None:
    guest = GuestFacts(domain_controller_hint="it has the tag 'dc'")
    [told] = [check for check in checks(vm(guest=guest)) if check.method is Method.MEMORY]
    assert not told.usable
    assert "tag 'dc'" in told.obstacle
    assert "memory.domain_controllers" == told.usable_with


def test_what_an_option_of_a_policy_would_make_possible_is_told() -> None:
    deaf = vm(shutdown_obstacle="its guest tools are missing", memory_obstacle="its guest tools are missing")
    told = {check.method: check.usable_with for check in checks(deaf) if not check.usable}
    assert ("offline.force", "") == (told[Method.OFFLINE], told[Method.MEMORY])


def test_all_of_it_is_on_the_wire() -> None:
    made = replace(vm(), guest=GuestFacts(os_name=WINDOWS, passthrough=("vGPU",)), memory_obstacle="no")
    message = vm_to_proto(made, "Lab")
    assert (WINDOWS, ["vGPU"]) == (message.guest.os_name, list(message.guest.passthrough))
    assert [check.method for check in message.method_checks if check.usable] == list(message.methods)
