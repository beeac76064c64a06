"""A VM's configuration as it is kept in a restore point: a small header of ours around the pool's own words.

Layout: 4 bytes ``XKVM``, version (u8, 1), header length (u32 little endian), header (JSON, UTF-8), and the
archive the pool exported. Whoever reads an old restore point in ten years needs no more than this.
"""

import json
import struct
from dataclasses import asdict, dataclass
from typing import Any

from services.chassis.errors import InvalidInput
from services.hypervisor.domain.memory import Cpu, Memory

_MAGIC = b"XKVM"
_VERSION = 1
_HEAD = struct.Struct("<4sBI")


@dataclass(frozen=True)
class ConfiguredDisk:
    """What a disk was called, where it was, and in which format: ``image_format`` is ``vhd``, ``qcow2`` or
    what else the pool told, empty when it told none."""

    disk_id: str
    device: str
    display_name: str
    description: str
    tags: tuple[str, ...]
    sr_id: str
    image_format: str = ""


@dataclass(frozen=True)
class ConfiguredInterface:
    """A network interface's position and MAC address."""

    device: str
    mac: str


@dataclass(frozen=True)
class SavedSnapshot:
    """A snapshot somebody took of the VM, with its disks in the point. ``memory`` is there if its suspend
    image is among them; ``with_memory``: it has one."""

    snapshot_id: str
    display_name: str
    disks: tuple[ConfiguredDisk, ...]
    interfaces: tuple[ConfiguredInterface, ...]
    memory: Memory | None = None
    with_memory: bool = False


@dataclass(frozen=True)
class Configuration:
    """``archive`` is the pool's metadata export of the VM (a tar with ova.xml), with its snapshots only if
    ``own_snapshots`` are saved. It does not tell of the VM's appliance: its UUID is kept beside it, empty
    without one. ``memory`` is there if a suspend image is among the disks."""

    pool_id: str
    vm_id: str
    vm_display_name: str
    disks: tuple[ConfiguredDisk, ...]
    interfaces: tuple[ConfiguredInterface, ...]
    archive: bytes
    appliance_id: str = ""
    memory: Memory | None = None
    own_snapshots: tuple[SavedSnapshot, ...] = ()


def pack(configuration: Configuration) -> bytes:
    """The bytes that ``unpack`` understands."""
    fields = asdict(configuration)
    archive: bytes = fields.pop("archive")
    header = json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()
    return _HEAD.pack(_MAGIC, _VERSION, len(header)) + header + archive


def unpack(data: bytes) -> Configuration:
    """Raises InvalidInput VM_CONFIGURATION_INVALID for anything ``pack`` has not made."""
    if len(data) < _HEAD.size:
        raise _invalid("it is too short")
    magic, version, length = _HEAD.unpack_from(data)
    if magic != _MAGIC or version != _VERSION:
        raise _invalid("it is of another kind or from a newer Xenkeep")
    end = _HEAD.size + length
    try:
        header = json.loads(data[_HEAD.size : end])
        return Configuration(
            pool_id=_text(header["pool_id"]),
            vm_id=_text(header["vm_id"]),
            vm_display_name=_text(header["vm_display_name"]),
            disks=tuple(map(_disk, header["disks"])),
            interfaces=tuple(map(_interface, header["interfaces"])),
            archive=data[end:],
            appliance_id=_text(header.get("appliance_id", "")),
            memory=_memory(header.get("memory")),
            own_snapshots=tuple(map(_own_snapshot, header.get("own_snapshots", ()))),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _invalid("its header cannot be read") from error


def _disk(disk: Any) -> ConfiguredDisk:
    return ConfiguredDisk(
        disk_id=_text(disk["disk_id"]),
        device=_text(disk["device"]),
        display_name=_text(disk["display_name"]),
        description=_text(disk["description"]),
        tags=tuple(_text(tag) for tag in disk["tags"]),
        sr_id=_text(disk["sr_id"]),
        image_format=_text(disk.get("image_format", "")),
    )


def _interface(told: Any) -> ConfiguredInterface:
    return ConfiguredInterface(device=_text(told["device"]), mac=_text(told["mac"]))


def _own_snapshot(told: Any) -> SavedSnapshot:
    return SavedSnapshot(
        snapshot_id=_text(told["snapshot_id"]),
        display_name=_text(told["display_name"]),
        disks=tuple(map(_disk, told["disks"])),
        interfaces=tuple(map(_interface, told["interfaces"])),
        memory=_memory(told.get("memory")),
        with_memory=told.get("with_memory") is True,
    )


def _memory(told: Any) -> Memory | None:
    """Points taken without memory, and older ones, have none."""
    if told is None:
        return None
    cpu = told["cpu"]
    return Memory(
        disk_id=_text(told["disk_id"]),
        cpu=Cpu(_text(cpu["vendor"]), _text(cpu["features"]), bool(cpu["hvm"])),
        domain_controller_hint=_text(told["domain_controller_hint"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value


def _invalid(why: str) -> InvalidInput:
    return InvalidInput(
        f"The VM configuration cannot be used: {why}.",
        reason="VM_CONFIGURATION_INVALID",
        hint="Verify the restore point; restore from another point or another copy.",
    )
