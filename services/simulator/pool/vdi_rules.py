"""Which operation a disk allows when (xapi: ocaml/xapi/xapi_vdi.ml ``check_operation_error``)."""

from services.simulator.database.database import Database
from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure

FEATURES = {
    "generate_config": "VDI_GENERATE_CONFIG",
    "update": "VDI_UPDATE",
    "forget": None,
    "destroy": "VDI_DELETE",
    "snapshot": "VDI_SNAPSHOT",
    "resize": "VDI_RESIZE",
    "copy": None,
    "clone": "VDI_CLONE",
    "enable_cbt": "VDI_CONFIG_CBT",
    "disable_cbt": "VDI_CONFIG_CBT",
    "data_destroy": "VDI_CONFIG_CBT",
    "list_changed_blocks": "VDI_CONFIG_CBT",
    "set_on_boot": "VDI_RESET_ON_BOOT",
    "mirror": "VDI_MIRROR",
    "revert_to": "VDI_REVERT",
    "revert_from": "VDI_REVERT",
}
"""What the storage manager must be able to do for each operation."""
TYPE_NAMES = {
    "ephemeral": "Ephemeral",
    "suspend": "Suspend",
    "crashdump": "Crashdump",
    "metadata": "Metadata",
    "ha_statefile": "HA statefile",
    "redo_log": "Redo log",
    "rrd": "rrd",
    "pvs_cache": "PVS cache",
    "cbt_metadata": "CBT metadata",
}
"""Types of VDIs as failures name them (recorded)."""
LISTED = ("generate_config", "update", "forget", "destroy", "snapshot", "resize", "copy", "clone")
_WHILE_ATTACHED = frozenset(
    {"snapshot", "clone", "enable_cbt", "disable_cbt", "data_destroy", "mirror", "revert_to"}
)
_OF_METADATA = frozenset(
    {"data_destroy", "destroy", "list_changed_blocks", "forget", "generate_config", "update"}
)
_AGAINST_CBT = frozenset({"set_on_boot", "mirror"})
OF_HIGH_AVAILABILITY = frozenset({"ha_statefile", "redo_log"})
_SIDE_BY_SIDE = frozenset({"copy"})


def check(db: Database, vdi: Row, operation: str) -> None:
    """Raises what forbids ``operation`` now; ``OTHER_OPERATION_IN_PROGRESS`` means: not yet."""
    others = [name for name in vdi["current_operations"].values() if name not in _SIDE_BY_SIDE]
    if others:
        holder = next(iter(vdi["current_operations"]))
        raise XapiFailure("OTHER_OPERATION_IN_PROGRESS", "VDI", vdi.ref, others[0], holder)
    if vdi["type"] in OF_HIGH_AVAILABILITY:
        _check_high_availability(db, operation)
    feature = FEATURES[operation]
    if feature is not None and feature not in sm_features(db, vdi["SR"]):
        raise XapiFailure("SR_OPERATION_NOT_SUPPORTED", vdi["SR"])
    if not db.row("SR", vdi["SR"])["PBDs"] or not _attached(db, vdi["SR"]):
        raise XapiFailure("SR_HAS_NO_PBDS", vdi["SR"])
    if vdi["type"] == "cbt_metadata" and operation not in _OF_METADATA:
        raise XapiFailure("VDI_INCOMPATIBLE_TYPE", vdi.ref, TYPE_NAMES["cbt_metadata"])
    if vdi["cbt_enabled"] and operation in _AGAINST_CBT:
        raise XapiFailure("VDI_CBT_ENABLED", vdi.ref)
    if operation not in _WHILE_ATTACHED and _in_use(db, vdi, operation):
        raise XapiFailure("VDI_IN_USE", vdi.ref, operation)


def _check_high_availability(db: Database, operation: str) -> None:
    if operation in ("destroy", "resize", "forget") and db.only("pool")["ha_enabled"]:
        raise XapiFailure("HA_IS_ENABLED")
    if operation == "copy":
        raise XapiFailure(
            "OPERATION_NOT_ALLOWED",
            "VDI containing HA statefile or redo log cannot be copied (check the VDI's allowed operations).",
        )


def allowed(db: Database, vdi: Row) -> list[str]:
    """What allowed_operations should list now."""
    return [name for name in LISTED if vdi["managed"] and _allows(db, vdi, name)]


def sm_features(db: Database, sr: str) -> dict[str, int]:
    """Features of the storage manager behind an SR."""
    type_ = db.row("SR", sr)["type"]
    return next((dict(sm["features"]) for sm in db.rows("SM") if sm["type"] == type_), {})


def _allows(db: Database, vdi: Row, operation: str) -> bool:
    try:
        check(db, vdi, operation)
    except XapiFailure:
        return False
    return True


def _attached(db: Database, sr: str) -> bool:
    return any(db.row("PBD", pbd)["currently_attached"] for pbd in db.row("SR", sr)["PBDs"])


def _in_use(db: Database, vdi: Row, operation: str) -> bool:
    attached = [vbd for vbd in (db.row("VBD", ref) for ref in vdi["VBDs"]) if vbd["currently_attached"]]
    return any(operation != "copy" or vbd["mode"] == "RW" for vbd in attached)
