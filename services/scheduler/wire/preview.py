"""What a run of a policy would do."""

from xenkeep.common.v1 import capture_pb2
from xenkeep.scheduler.v1 import policy_pb2

from services.scheduler.domain.preview import Preview, VmPreview
from services.scheduler.wire.methods import method_to_proto


def preview_to_proto(preview: Preview) -> policy_pb2.PreviewPolicyResponse:
    return policy_pb2.PreviewPolicyResponse(vms=map(_vm, preview.vms), missing=preview.missing)


def _vm(each: VmPreview) -> policy_pb2.VmPreview:
    consistency = (each.consistency or "unspecified").upper()
    return policy_pb2.VmPreview(
        vm=each.vm.name,
        vm_display_name=each.vm.display_name,
        method=method_to_proto(each.method) if each.method else capture_pb2.METHOD_UNSPECIFIED,
        consistency=capture_pb2.Consistency.Value(f"CONSISTENCY_{consistency}"),
        message=each.message,
        group=each.group,
    )
