"""What an operator writes to get a pool: a YAML or JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from services.simulator.model.releases import toolstack

GIB = 1024**3
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The quick one, if PyYAML was built with it: a description may have thousands of VMs."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GpuTypeDescription(_Part):
    """A kind of virtual GPU: ``capacity`` of it fit on one processor. ``vendor`` is the processor's. A VM may
    have several, since 8.1, if each kind names the others, or itself, in ``together_with``."""

    name: str
    vendor: str | None = None
    capacity: int = Field(1, ge=1)
    framebuffer_bytes: int = 0
    together_with: list[str] = []
    implementation: Literal["passthrough", "nvidia", "nvidia_sriov", "gvt_g", "mxgpu"] = "nvidia"


class GpuDescription(_Part):
    """``device`` as PCI has it, vendor and device: processors of the same one are a group. VMs with virtual
    GPUs on it migrate only with ``compatibility_metadata`` and the licence."""

    name: str
    device: str = Field(pattern=r"^[0-9a-f]{4}/[0-9a-f]{4}$")
    vendor: str = "NVIDIA Corporation"
    types: list[GpuTypeDescription] = []
    compatibility_metadata: dict[str, str] = {}


class HostDescription(_Part):
    """``address`` is an IP address of this machine, one per host (``127.0.0.11``): clients find members by
    it. ``usb_devices`` are descriptions of what is plugged in. Without ``iommu`` no VM is given a device.
    """

    name: str
    address: str
    memory_bytes: int = 32 * GIB
    cpus: int = 8
    iommu: bool = True
    usb_devices: list[str] = []
    gpus: list[GpuDescription] = []


class NetworkDescription(_Part):
    """Every host has an attached PIF on every network."""

    name: str
    purpose: list[Literal["nbd", "insecure_nbd"]] = []


class StorageDescription(_Part):
    """A shared SR has a PBD on every host; a local one belongs to ``host`` (its name). LINSTOR tracks no
    changed blocks. ``image_formats`` are preferred in this order, where release and type know them."""

    name: str
    type: Literal["nfs", "ext", "lvm", "linstor", "iso"] = "nfs"
    size_bytes: int = 1024 * GIB
    host: str | None = None
    image_formats: list[Literal["vhd", "qcow2"]] = []


class DiskDescription(_Part):
    """``image`` is a raw file whose holes stay unallocated; without it the disk is empty and needs
    ``size_bytes``. ``image_format`` is what the storage chooses unless it is given.
    """

    name: str = ""
    storage: str | None = None
    image: Path | None = None
    size_bytes: int | None = None
    image_format: Literal["vhd", "qcow2"] | None = None
    bootable: bool = False

    @model_validator(mode="after")
    def _has_contents(self) -> DiskDescription:
        if self.image is None and self.size_bytes is None:
            raise ValueError("a disk needs an image or size_bytes")
        return self


class VmDescription(_Part):
    """``host`` (a name) runs it from the start; without one it is halted. ``vss``: its tools can quiesce it,
    which releases up to 8.0 make use of.
    """

    name: str
    description: str = ""
    host: str | None = None
    memory_bytes: int = GIB
    vcpus: int = 1
    disks: list[DiskDescription] = []
    networks: list[str] = []
    guest_tools: bool = True
    vss: bool = False
    firmware: Literal["bios", "uefi"] = "bios"
    os_name: str = "Debian GNU/Linux 12 (bookworm)"
    tags: list[str] = []
    other_config: dict[str, str] = {}
    ha_restart_priority: Literal["", "restart", "best-effort"] = ""


class UserDescription(_Part):
    """``password_file`` holds the password alone; ``role`` is a XenAPI role name."""

    name: str = "root"
    password_file: Path | None = None
    password: str | None = None
    role: str = "pool-admin"

    @model_validator(mode="after")
    def _has_password(self) -> UserDescription:
        if (self.password is None) == (self.password_file is None):
            raise ValueError(f"user {self.name} needs either password or password_file")
        return self

    def secret(self) -> str:
        if self.password_file is not None:
            return self.password_file.read_text("utf-8").rstrip("\n")
        return self.password or ""


class PoolDescription(_Part):
    """``data_dir`` must be empty or absent: a simulated pool starts anew. Port 0 takes a free one; then
    there must be one host only, because all hosts of a pool share their ports. ``restrictions`` are
    features that a licence withholds (``restrict_cbt: "true"``). ``cpu_features`` of every processor, as xapi
    writes them. ``version`` is ``8.0``, ``8.1``, ``8.2``, or
    that of xapi itself (``23.1.0``). Without HA a host nobody hears counts as dead after
    ``host_assumed_dead_s`` seconds (xapi_globs.ml ``host_assumed_dead_interval``). A host serves
    ``http_connections`` at once (xapi_globs.ml ``conn_limit_tcp``); others wait. ``storage_reverts``: since
    26.16 disks go back to a snapshot and stay what they are, which drivers may learn."""

    name: str = "simulated"
    version: str = "23.1.0"
    data_dir: Path
    https_port: int = 443
    http_port: int | None = None
    nbd_port: int = 10809
    http_connections: int = Field(800, ge=1)
    control_socket: Path | None = None
    users: list[UserDescription]
    hosts: list[HostDescription] = Field(min_length=1)
    networks: list[NetworkDescription] = [NetworkDescription(name="Pool-wide network", purpose=["nbd"])]
    storage: list[StorageDescription] = [StorageDescription(name="Shared storage")]
    default_storage: str | None = None
    vms: list[VmDescription] = []
    restrictions: dict[str, Literal["true", "false"]] = {}
    cpu_features: str = Field("178bfbff-f6f83203-2c100800-00000121", pattern=r"^[0-9a-f]{8}(-[0-9a-f]{8})*$")
    storage_reverts: bool = False
    ha_enabled: bool = False
    host_assumed_dead_s: float = Field(600.0, gt=0)
    refusal_delay_s: float = 2.0

    @field_validator("version")
    @classmethod
    def _is_known(cls, version: str) -> str:
        toolstack(version)
        return version

    @model_validator(mode="after")
    def _names_fit(self) -> PoolDescription:
        hosts = {host.name for host in self.hosts}
        if len(hosts) < len(self.hosts) or len({host.address for host in self.hosts}) < len(self.hosts):
            raise ValueError("hosts need names and addresses of their own")
        if self.ha_enabled and not any(each.host is None and each.type != "iso" for each in self.storage):
            raise ValueError("ha_enabled needs storage that all hosts share: one without a host")
        storage = {repository.name for repository in self.storage}
        named = [(vm.host, hosts, vm.name) for vm in self.vms]
        named += [(repository.host, hosts, repository.name) for repository in self.storage]
        named += [(disk.storage, storage, vm.name) for vm in self.vms for disk in vm.disks]
        named += [(self.default_storage, storage, "default_storage")]
        wrong = [f"{owner}: {name}" for name, known, owner in named if name is not None and name not in known]
        if wrong:
            raise ValueError(f"no such host or storage: {', '.join(wrong)}")
        return self


def read_description(path: Path) -> PoolDescription:
    """Raises ``pydantic.ValidationError`` naming every mistake."""
    return PoolDescription.model_validate(yaml.load(path.read_text("utf-8"), Loader=_LOADER))  # noqa: S506 - it is a safe one
