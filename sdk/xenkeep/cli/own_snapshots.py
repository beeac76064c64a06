"""Which of a VM's own snapshots a person means."""

from xenkeep.catalog.v1 import catalog_pb2
from xenkeep.cli.beginnings import beginning_with
from xenkeep.cli.output import last_part
from xenkeep.errors import Error


def snapshot_id(found: catalog_pb2.RestorePoint, wanted: str) -> str:
    """UUID of the snapshot of that name, UUID or beginning of a UUID, of those the point saved.

    Raises Error NotFound SNAPSHOT_NOT_IN_POINT, InvalidInput SNAPSHOT_AMBIGUOUS.
    """
    saved = [each for each in found.point.vm_snapshots if each.saved]
    meant = [each for each in saved if each.display_name == wanted]
    meant = meant or list(beginning_with(wanted, saved, lambda each: each.snapshot_id))
    if len(meant) == 1:
        return meant[0].snapshot_id
    names = ", ".join(f"{each.display_name!r} ({each.snapshot_id})" for each in meant or saved)
    if meant:
        told = f"Several snapshots in the restore point are called {wanted!r}."
        raise Error("InvalidInput", "SNAPSHOT_AMBIGUOUS", told, f"Choose one by its UUID: {names}.")
    raise Error(
        "NotFound",
        "SNAPSHOT_NOT_IN_POINT",
        f"The restore point {last_part(found.name)} has not saved a snapshot {wanted!r}.",
        f"Choose one of {names}."
        if names
        else "Choose a point of a backup with --own-snapshots, or of a policy with own_snapshots: save.",
    )
