"""``xenkeep vm``."""

from typing import Annotated

import typer

from xenkeep.cli.output import Json, details, last_part, show, show_all, size, word
from xenkeep.cli.session import client
from xenkeep.client import Client
from xenkeep.common.v1 import capture_pb2
from xenkeep.errors import Error
from xenkeep.hypervisor.v1 import vm_pb2
from xenkeep.scheduler.v1 import policy_pb2

app = typer.Typer(help="VMs of the pools.", no_args_is_help=True)


@app.command("list")
def list_(
    pool: Annotated[str, typer.Option(help="Only of this pool.")] = "",
    templates: Annotated[bool, typer.Option(help="Own templates instead of VMs.")] = False,
    json_: Json = False,
) -> None:
    """List the VMs, or own templates, and the methods a backup of each could use now."""
    with client() as xenkeep:
        show_all(
            xenkeep.vms.list(pool, templates=templates),
            ("NAME", "POWER", "HOST", "GUEST", "METHODS", "DISKS", "SIZE", "POOL", "UUID"),
            lambda vm: (
                vm.display_name,
                word(vm_pb2.Vm.PowerState, vm.power_state),
                vm.host_display_name,
                vm.guest_os,
                " ".join(word(capture_pb2.Method, method) for method in vm.methods),
                str(len(vm.disks)),
                size(sum(disk.size_bytes for disk in vm.disks)),
                vm.pool_display_name,
                last_part(vm.name),
            ),
            json_=json_,
        )


@app.command("show")
def show_one(name: str, json_: Json = False) -> None:
    """Show a VM, its guest, what comes of each method, its disks and interfaces."""
    with client() as xenkeep:
        vm = xenkeep.vms.get(name)
        show(vm, lambda: details([*_lines(vm), *_policies(xenkeep, vm)]), json_=json_)


def _lines(vm: vm_pb2.Vm) -> list[tuple[str, str]]:
    lines = [
        ("VM", vm.display_name),
        ("Description", vm.description),
        ("UUID", last_part(vm.name)),
        ("Pool", vm.pool_display_name),
        ("Power", word(vm_pb2.Vm.PowerState, vm.power_state)),
        ("Host", vm.host_display_name),
        *_guest(vm.guest),
        ("CPUs", str(vm.vcpus)),
        ("Memory", size(vm.memory_bytes)),
        ("Tags", ", ".join(vm.tags)),
    ]
    lines += [("Method", _method(check)) for check in vm.method_checks]
    for disk in vm.disks:
        tracking = "changes tracked" if disk.change_tracking else "changes not tracked"
        text = f"{disk.device}: {disk.display_name}  {size(disk.size_bytes)} on {disk.sr_display_name}"
        lines.append(("Disk", f"{text}, {tracking}"))
    for vif in vm.network_interfaces:
        lines.append(("Interface", f"{vif.device}: {vif.mac} on {vif.network_display_name}"))
    return lines


def _policies(xenkeep: Client, vm: vm_pb2.Vm) -> list[tuple[str, str]]:
    """What a run of each policy that selects the VM would do to it now."""
    try:
        return [
            (f"Policy {last_part(policy.name)}", _planned(each))
            for policy in xenkeep.policies.list()
            for each in xenkeep.policies.preview(policy.name, vm.name).vms
        ]
    except Error as error:
        return [("Policies", f"not known: {error.message}")]


def _planned(each: policy_pb2.VmPreview) -> str:
    if not each.method:
        return f"its backup would fail. {each.message}"
    text = f"{word(capture_pb2.Method, each.method)}: {word(capture_pb2.Consistency, each.consistency)}"
    return ", ".join(filter(None, (text, each.group and f"with group {each.group}"))) + f" {each.message}"


def _guest(guest: vm_pb2.Guest) -> list[tuple[str, str]]:
    system = f"{guest.distribution} {guest.os_version}".strip()
    hint = guest.domain_controller_hint
    drivers = guest.drivers_version or ("yes" if guest.drivers_detected else "none")
    return [
        ("Guest", f"{guest.os_name} ({system})" if guest.os_name and system else guest.os_name),
        ("Drivers", f"paravirtual drivers: {drivers}"),
        ("Agent", "management agent reports" if guest.agent else "no management agent reports"),
        ("Addresses", ", ".join(guest.addresses)),
        ("Directory", f"may be a domain controller: {hint}" if hint else ""),
        ("vTPM", "yes" if guest.vtpm else ""),
        ("Passed on", ", ".join(guest.passthrough)),
    ]


def _method(check: vm_pb2.MethodCheck) -> str:
    method = word(capture_pb2.Method, check.method)
    if check.usable:
        return f"{method}: {word(capture_pb2.Consistency, check.consistency)}"
    return f"{method}: not now, because {check.obstacle}"
