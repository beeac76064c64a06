"""VMs on the wire."""

from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import vm_pb2

from services.hypervisor.domain.names import vm_name
from services.hypervisor.domain.vm import Method, PowerState, Vm


def vm_to_proto(vm: Vm, pool_display_name: str) -> vm_pb2.Vm:
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
        methods=[method_to_proto(method) for method in vm.methods],
        boot_parameters=dict(vm.boot_parameters),
    )


def power_state_to_proto(state: PowerState) -> vm_pb2.Vm.PowerState.ValueType:
    return vm_pb2.Vm.PowerState.Value(f"POWER_STATE_{state.value}")


def method_to_proto(method: Method) -> capture_pb2.Method.ValueType:
    return capture_pb2.Method.Value(f"METHOD_{method.value}")
