"""How objects of ours are told from everybody else's.

XAPI copies ``other_config`` to snapshots, clones and copies, so a tag alone proves nothing: with it goes the
object's own UUID, which a copy does not share.
"""

import re
from typing import Any

SOURCE = "xenkeep:backup_source"
TARGET = "xenkeep:restore_target"
DISK = "xenkeep:disk"
OBJECT = "xenkeep:object"
INSTALLATION = "xenkeep:installation"
LINEAGE = "xenkeep:lineage"
"""On what stays of a snapshot for the next incremental: whose."""
HOLDER = "xenkeep:holder"
INTERFACE = "xenkeep:vif:"
UNPROTECTED = "xenkeep:unprotected"
"""On a VM a restore is about to replace: which restore, and why the VM may not be destroyed otherwise."""
_OURS = "xenkeep:"
_SNAPSHOT = re.compile(r"xenkeep-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")

Record = dict[str, Any]


def snapshot_name(source_id: str) -> str:
    """Name of a snapshot from its first moment on: VM.snapshot can give a name, but no tag."""
    return f"xenkeep-{source_id}"


def holder_name(source_id: str) -> str:
    """Name of the VM that holds a template's disks for their snapshot."""
    return f"{snapshot_name(source_id)} (disks of a template)"


def source_of(record: Record) -> str:
    """Id of the backup source a VM or VDI record is a snapshot of; empty when it is not ours."""
    if not record["is_a_snapshot"]:
        return ""
    config = record["other_config"]
    if config.get(OBJECT) == record["uuid"]:
        return str(config.get(SOURCE, ""))
    named = _SNAPSHOT.fullmatch(record["name_label"]) if "power_state" in record else None
    return named[1] if named else ""


def holder_of(record: Record) -> str:
    """Id of the backup source a VM record was made for to have a template's disks snapshotted together; empty
    when it is none. It owns no disk."""
    config = record["other_config"]
    if record["is_a_snapshot"] or config.get(OBJECT, record["uuid"]) != record["uuid"]:
        return ""
    return str(config.get(HOLDER, ""))


def target_of(record: Record) -> str:
    """Id of the restore target a VM or VDI record was made for; empty when it is not ours.

    A copy made before the object knew its own UUID cannot be told apart; there are seconds in which that
    could happen, of an object nobody has been told of.
    """
    if record["is_a_snapshot"]:
        return ""
    config = record["other_config"]
    return str(config.get(TARGET, "")) if config.get(OBJECT, record["uuid"]) == record["uuid"] else ""


def id_if_own(record: Record, installation: str) -> str:
    """The id of a source or target, if the object proves to have been made by this installation."""
    if record["other_config"].get(INSTALLATION) != installation:
        return ""
    return source_of(record) or target_of(record) or holder_of(record)


def to_take_off(other_config: dict[str, str]) -> list[str]:
    """Our keys, in the order in which they are removed one by one: an object that was made for a restore is
    found by its target until the last is gone."""
    ours = [key for key in other_config if key.startswith(_OURS)]
    return sorted(ours, key=lambda key: (key == TARGET, key))


def tagged(other_config: dict[str, str], tags: dict[str, str]) -> dict[str, str]:
    """``other_config`` with exactly these tags of ours."""
    return {**untagged(other_config), **tags}


def untagged(other_config: dict[str, str]) -> dict[str, str]:
    """``other_config`` without any tag of ours."""
    return {key: value for key, value in other_config.items() if not key.startswith(_OURS)}
