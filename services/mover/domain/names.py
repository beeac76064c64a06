"""Resource names."""

import re

from services.chassis.errors import InvalidInput

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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


def source_name(pool: str, source_id: str) -> str:
    """``pool`` is the pool's UUID."""
    return f"pools/{pool}/backupSources/{source_id}"


def target_name(pool: str, target_id: str) -> str:
    """``pool`` is ``pools/{pool}``."""
    return f"{pool}/restoreTargets/{target_id}"


def checked_transfer_id(text: str) -> str:
    """A UUID in lower case, since it also names the restore point; raises InvalidInput for anything else."""
    if not _UUID.fullmatch(text):
        raise InvalidInput(
            f"{text[:64]!r} is not the id of a transfer.",
            reason="TRANSFER_ID_INVALID",
            hint="It is a UUID in lower case.",
        )
    return text


def vm_ids(name: str) -> tuple[str, str]:
    """(pool, VM) of ``pools/{pool}/vms/{vm}``; raises InvalidInput."""
    match name.split("/"):
        case ["pools", pool, "vms", vm] if pool and vm:
            return pool, vm
    raise InvalidInput(
        f"{name!r} does not name a VM.", reason="NAME_INVALID", hint="It looks like pools/{pool}/vms/{vm}."
    )
