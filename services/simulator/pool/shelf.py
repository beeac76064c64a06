"""Storage as it stands in the rack: it keeps what it holds whether or not a pool knows of it."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.simulator.storage.errors import BackendFailure
from services.simulator.storage.ports import StorageRepository
from services.simulator.storage.sr import Sr

LOCAL_TYPES = frozenset({"ext", "lvm"})
_REQUIRED = {
    "nfs": (("server", 102), ("serverpath", 101)),
    "ext": (("device", 90),),
    "lvm": (("device", 90),),
    "linstor": (("group-name", 90),),
    "iso": (("location", 94),),
}
"""Keys of device_config that a driver cannot do without, with its error (sm: XE_SR_ERRORCODES.xml)."""
_IN_USE, _UNAVAILABLE = 16, 47


@dataclass(frozen=True)
class Place:
    """Where an SR lies. ``host`` is that of a local disk, "" for what all hosts reach."""

    type: str
    device_config: Mapping[str, str]
    host: str

    def matches(self, other: "Place") -> bool:
        """Whether they are one device: a driver looks at its own keys only."""
        keys = [key for key, _ in _REQUIRED[self.type]] if self.type == other.type else []
        same = all(self.device_config.get(key) == other.device_config.get(key) for key in keys)
        return bool(keys) and same and self.host == other.host


def place(type_: str, device_config: Mapping[str, str], host: str) -> Place:
    """Raises ``BackendFailure`` for a missing key."""
    for key, number in _REQUIRED[type_]:
        if not device_config.get(key):
            raise BackendFailure(number, f"The request is missing the {key} parameter")
    return Place(type_, device_config, host if type_ in LOCAL_TYPES else "")


class Shelf:
    """Contents of SRs by the SR's uuid, in folders below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[str, Place] = {}

    def make(self, uuid: str, where: Place, size: int) -> StorageRepository:
        """A new SR of ``size`` bytes. ``BackendFailure`` when a local device holds one already."""
        if where.type in LOCAL_TYPES and self.found(where):
            raise BackendFailure(_IN_USE, "The SR device is currently in use")
        repository = Sr.create(self._path(uuid), size)
        self._places[uuid] = where
        return repository

    def open(self, uuid: str, where: Place) -> StorageRepository:
        """What is there from before. ``BackendFailure`` when there is no such SR."""
        if uuid not in self.found(where):
            raise BackendFailure(_UNAVAILABLE, "The SR is not available", f"no SR {uuid} on this device")
        return Sr.open(self._path(uuid))

    def adopt(self, uuid: str, where: Place, folder: Path) -> StorageRepository:
        """An SR that another pool held in ``folder`` moves in. ``BackendFailure`` when that is none."""
        if folder.name != f"sr-{uuid}" or folder.is_symlink() or self._path(uuid).exists():
            raise BackendFailure(_UNAVAILABLE, "The SR is not available", f"{folder} is not SR {uuid}")
        try:
            Sr.open(folder)
        except OSError as error:
            raise BackendFailure(_UNAVAILABLE, "The SR is not available", str(error)) from error
        shutil.move(folder, self._path(uuid))
        self._places[uuid] = where
        return Sr.open(self._path(uuid))

    def folder(self, uuid: str) -> Path:
        """Where an SR is kept."""
        return self._path(uuid)

    def found(self, where: Place) -> list[str]:
        """Uuids of the SRs on a device."""
        return [uuid for uuid, known in self._places.items() if known.matches(where)]

    def wipe(self, uuid: str) -> None:
        """The SR and all that it held are gone."""
        self._places.pop(uuid, None)
        shutil.rmtree(self._path(uuid))

    def _path(self, uuid: str) -> Path:
        return self._folder / f"sr-{uuid}"
