"""The storage drivers of a host, and what each is able to do."""

from dataclasses import dataclass

_COMMON = (
    "SR_PROBE",
    "SR_UPDATE",
    "VDI_ATTACH",
    "VDI_DETACH",
    "VDI_ACTIVATE",
    "VDI_DEACTIVATE",
    "VDI_INTRODUCE",
)
_DISKS = (
    "VDI_CREATE",
    "VDI_DELETE",
    "VDI_SNAPSHOT",
    "VDI_CLONE",
    "VDI_MIRROR",
    "VDI_RESIZE",
    "VDI_UPDATE",
    "VDI_GENERATE_CONFIG",
    "VDI_RESET_ON_BOOT",
)
_BOTH = ("vhd", "qcow2")


@dataclass(frozen=True)
class Driver:
    """``image_formats`` and ``newer_label`` are of releases whose storage makes QCOW2 images."""

    label: str
    features: tuple[str, ...]
    newer_label: str = ""
    image_formats: tuple[str, ...] = ()


DRIVERS = {
    "nfs": Driver(
        "NFS VHD", (*_COMMON, *_DISKS, "VDI_CONFIG_CBT", "THIN_PROVISIONING"), "NFS VHD and QCOW2", _BOTH
    ),
    "ext": Driver(
        "Local EXT3 VHD",
        (*_COMMON, *_DISKS, "VDI_CONFIG_CBT", "THIN_PROVISIONING"),
        "Local EXT4 VHD and QCOW2",
        _BOTH,
    ),
    "lvm": Driver(
        "Local VHD on LVM", (*_COMMON, *_DISKS, "VDI_CONFIG_CBT"), "Local VHD and QCOW2 on LVM", _BOTH
    ),
    "linstor": Driver(
        "LINSTOR resources on XCP-ng", (*_COMMON, *_DISKS, "THIN_PROVISIONING"), image_formats=("vhd",)
    ),
    "iso": Driver("ISO", _COMMON),
}
