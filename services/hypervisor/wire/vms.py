"""VMs on the wire."""

from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import vm_pb2

from services.hypervisor.domain.guest import GuestFacts
from services.hypervisor.domain.methods import NO_AGENT, MethodCheck, checks
from services.hypervisor.domain.names import vm_name
from services.hypervisor.domain.vm import Method, PowerState, Vm


def vm_to_proto(vm: Vm, pool_display_name: str, agent_obstacle: str = NO_AGENT) -> vm_pb2.Vm:
    checked = checks(vm, agent_obstacle)
    return vm_pb2.Vm(
        name=vm_name(vm.pool_id, vm.vm_id),
        display_name=vm.display_name,
        description=vm.description,
        power_state=power_state_to_proto(vm.power_state),
        host_id=vm.host_id,
        host_display_name=vm.host_display_name,
        disks=[
            vm_pb2.Disk(
                disk_id=disk.disk_id,
                device=disk.device,
                display_name=disk.display_name,
                size_bytes=disk.size_bytes,
                sr_display_name=disk.sr_display_name,
                change_tracking=disk.change_tracking,
                sr_id=disk.sr_id,
            )
            for disk in vm.disks
        ],
        network_interfaces=[
            vm_pb2.NetworkInterface(
                device=each.device,
                mac=each.mac,
                network_display_name=each.network_display_name,
                network_id=each.network_id,
            )
            for each in vm.network_interfaces
        ],
        tags=vm.tags,
        memory_bytes=vm.memory_bytes,
        vcpus=vm.vcpus,
        guest_os=vm.guest_os,
        pool_display_name=pool_display_name,
        methods=[method_to_proto(check.method) for check in checked if check.usable],
        boot_parameters=dict(vm.boot_parameters),
        guest=_guest_to_proto(vm.guest),
        method_checks=map(_check_to_proto, checked),
        template=vm.template,
    )


def power_state_to_proto(state: PowerState) -> vm_pb2.Vm.PowerState.ValueType:
    return vm_pb2.Vm.PowerState.Value(f"POWER_STATE_{state.value}")


def method_to_proto(method: Method) -> capture_pb2.Method.ValueType:
    return capture_pb2.Method.Value(f"METHOD_{method.value}")


def _guest_to_proto(guest: GuestFacts) -> vm_pb2.Guest:
    return vm_pb2.Guest(
        os_name=guest.os_name,
        distribution=guest.distribution,
        os_version=guest.os_version,
        drivers_version=guest.drivers_version,
        drivers_detected=guest.drivers_detected,
        agent=guest.agent,
        domain_controller_hint=guest.domain_controller_hint,
        vtpm=guest.vtpm,
        passthrough=guest.passthrough,
        addresses=guest.addresses,
    )


def _check_to_proto(check: MethodCheck) -> vm_pb2.MethodCheck:
    return vm_pb2.MethodCheck(
        method=method_to_proto(check.method),
        usable=check.usable,
        obstacle=check.obstacle,
        consistency=capture_pb2.Consistency.Value(f"CONSISTENCY_{check.consistency.value}"),
        usable_with=check.usable_with,
    )
