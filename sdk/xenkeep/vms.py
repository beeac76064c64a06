"""VMs of the pools."""

from collections.abc import Iterator

from xenkeep.calls import Caller
from xenkeep.hypervisor.v1 import vm_pb2, vm_pb2_grpc
from xenkeep.paging import pages


class Vms:
    """``client.vms``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = vm_pb2_grpc.VmServiceStub(caller.channel)

    def get(self, name: str) -> vm_pb2.Vm:
        """One VM by resource name, UUID or its own name."""
        return self._caller.unary(self._stub.GetVm, vm_pb2.GetVmRequest(name=name))

    def list(self, pool: str = "", *, templates: bool = False) -> Iterator[vm_pb2.Vm]:
        """VMs by name, or own templates instead, of one pool or of all."""
        return pages(
            lambda token: self._caller.unary(
                self._stub.ListVms,
                vm_pb2.ListVmsRequest(parent=pool, page_token=token, templates=templates),
            ),
            lambda page: page.vms,
        )
