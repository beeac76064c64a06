"""What is said on the command line about a capture beyond its method."""

import typer

from xenkeep.common.v1 import capture_pb2


def capture_options(
    method: str, *, prefer: bool, domain_controllers: bool, own_snapshots: bool
) -> capture_pb2.CaptureOptions | None:
    """Raises typer.BadParameter for options that do not fit the method."""
    options = _of_method(method, prefer=prefer, domain_controllers=domain_controllers)
    if own_snapshots:
        options = options or capture_pb2.CaptureOptions()
        options.own_snapshots = capture_pb2.CaptureOptions.OWN_SNAPSHOTS_SAVE
    return options


def _of_method(method: str, *, prefer: bool, domain_controllers: bool) -> capture_pb2.CaptureOptions | None:
    if prefer and method not in ("memory", "quiesced"):
        raise typer.BadParameter("fits the methods memory and quiesced only", param_hint="--prefer")
    if domain_controllers and method != "memory":
        raise typer.BadParameter("fits the method memory only", param_hint="--domain-controllers")
    if method == "memory" and (prefer or domain_controllers):
        wish = capture_pb2.MemoryOptions(domain_controllers=domain_controllers)
        if prefer:
            wish.requirement = capture_pb2.MemoryOptions.REQUIREMENT_PREFER
        return capture_pb2.CaptureOptions(memory=wish)
    if prefer:
        preferred = capture_pb2.QuiesceOptions(requirement=capture_pb2.QuiesceOptions.REQUIREMENT_PREFER)
        return capture_pb2.CaptureOptions(quiesce=preferred)
    return None
