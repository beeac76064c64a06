"""Resource names."""

from services.chassis.errors import InvalidInput


def repository_name(repository_id: str) -> str:
    return f"repositories/{repository_id}"


def repository_id(name: str) -> str:
    """The id of ``repositories/{repository}``; a bare id or display name passes as it is."""
    return name.removeprefix("repositories/")


def transfer_name(transfer_id: str) -> str:
    return f"transfers/{transfer_id}"


def transfer_id(name: str) -> str:
    """The id of ``transfers/{transfer}``; a bare id passes as it is."""
    return name.removeprefix("transfers/")


def vm_ids(name: str) -> tuple[str, str]:
    """(pool, VM) of ``pools/{pool}/vms/{vm}``; raises InvalidInput."""
    match name.split("/"):
        case ["pools", pool, "vms", vm] if pool and vm:
            return pool, vm
    raise InvalidInput(
        f"{name!r} does not name a VM.", reason="NAME_INVALID", hint="It looks like pools/{pool}/vms/{vm}."
    )
