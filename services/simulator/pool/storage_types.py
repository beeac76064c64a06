"""The storage drivers of a host, and what each is able to do."""

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
DRIVERS = {
    "nfs": ("NFS VHD", (*_COMMON, *_DISKS, "VDI_CONFIG_CBT", "THIN_PROVISIONING")),
    "ext": ("Local EXT3 VHD", (*_COMMON, *_DISKS, "VDI_CONFIG_CBT", "THIN_PROVISIONING")),
    "lvm": ("Local VHD on LVM", (*_COMMON, *_DISKS, "VDI_CONFIG_CBT")),
    "linstor": ("LINSTOR resources on XCP-ng", (*_COMMON, *_DISKS, "THIN_PROVISIONING")),
    "iso": ("ISO", _COMMON),
}
