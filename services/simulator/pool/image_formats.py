"""In which image format an SR keeps a disk (xcp-ng/sm: drivers/SR.py, drivers/FileSR.py; docs.xcp-ng.org:
QCOW2 FAQ).

Storage makes QCOW2 images from the release on that takes them over HTTP, as that of XCP-ng does. Before,
drivers know only VHDs, and ignore what they are asked for.
"""

from collections.abc import Mapping

from services.simulator.failure import XapiFailure
from services.simulator.pool.pool import Pool
from services.simulator.pool.storage_types import DRIVERS
from services.simulator.storage.errors import BackendFailure
from services.simulator.storage.ports import LARGEST

KEY = "image-format"
"""Of a VDI's sm_config: asked for when it is created, and told afterwards."""
PREFERENCE = "preferred-image-formats"
"""Of the device_config of the coordinator's PBD: formats in order, separated by commas."""
_INVALID_TYPE = 66
"""VDIType (sm: drivers/XE_SR_ERRORCODES.xml)."""


def known(pool: Pool, sr: str) -> tuple[str, ...]:
    """The formats an SR's driver knows by name, the preferred one first; none when it makes VHDs and does not
    speak of it.
    """
    driver = DRIVERS[pool.db.row("SR", sr)["type"]]
    return driver.image_formats if pool.model.has_qcow2 else ()


def choose(pool: Pool, sr: str, size: int, sm_config: Mapping[str, str] | None = None) -> str:
    """What a new disk becomes: what is asked for, else the first preferred format that takes so many bytes.

    Raises ``SR_BACKEND_FAILURE_66`` for a format that the driver does not make.
    """
    made = known(pool, sr)
    if not made:
        return "vhd"
    asked = (sm_config or {}).get(KEY) or (sm_config or {}).get("type")
    if asked:
        if asked not in made:
            refusal = BackendFailure(_INVALID_TYPE, "Invalid VDI type", f"Unsupported image format `{asked}`")
            raise XapiFailure(refusal.code, *refusal.params)
        return asked
    preferred = _preferred(pool, sr, made)
    return next((each for each in preferred if size <= LARGEST[each]), preferred[0])


def told(pool: Pool, sr: str, image_format: str) -> dict[str, str]:
    """What the sm_config of a disk says of its format. That of a snapshot says it after a scan only."""
    return {KEY: image_format} if known(pool, sr) else {}


def _preferred(pool: Pool, sr: str, made: tuple[str, ...]) -> tuple[str, ...]:
    for pbd in (pool.db.row("PBD", ref) for ref in pool.db.row("SR", sr)["PBDs"]):
        if pbd["host"] == pool.coordinator.ref:
            named = (entry.strip() for entry in pbd["device_config"].get(PREFERENCE, "").split(","))
            return tuple(dict.fromkeys(entry for entry in named if entry in made)) or made
    return made
