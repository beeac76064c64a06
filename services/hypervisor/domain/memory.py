"""The memory of a VM in a restore point, and where it can run again."""

from collections.abc import Iterable
from dataclasses import dataclass

DEVICE = "memory"
"""The position of a suspend image among the disks of a point."""
IMPOSSIBLE = "MEMORY_IMPOSSIBLE"


@dataclass(frozen=True)
class Cpu:
    """What a VM's memory expects of a processor; ``features`` are words in hexadecimal, joined by dashes."""

    vendor: str
    features: str
    hvm: bool = True


@dataclass(frozen=True)
class HostCpu:
    """What a host that is alive and enabled offers to VMs that come with their memory, by ``Cpu.hvm``."""

    host_id: str
    display_name: str
    vendor: str
    features_hvm: str
    features_pv: str


@dataclass(frozen=True)
class Memory:
    """Kept in the point beside the configuration: ``disk_id`` is its suspend image among the point's
    disks."""

    disk_id: str
    cpu: Cpu
    domain_controller_hint: str = ""


def cpu_obstacle(wanted: Cpu, hosts: Iterable[HostCpu]) -> str:
    """Why no host can resume it, "" when one can (xapi: ocaml/xapi/cpuid_helpers.ml)."""
    reasons = {_why_not(wanted, host) for host in hosts}
    if "" in reasons:
        return ""
    return "; ".join(sorted(reasons)) or "no host of the pool is alive"


def _why_not(wanted: Cpu, host: HostCpu) -> str:
    if wanted.vendor and host.vendor and wanted.vendor != host.vendor:
        return f"the VM ran on a processor of {wanted.vendor}, {host.display_name!r} has one of {host.vendor}"
    offered = _words(host.features_hvm if wanted.hvm else host.features_pv)
    if not offered:
        return ""
    missing = any(want & ~have for want, have in zip(_words(wanted.features), offered, strict=False))
    return f"the processor of {host.display_name!r} lacks features the VM uses" if missing else ""


def _words(features: str) -> tuple[int, ...]:
    """None of them when the text is not what the pool writes: then the pool alone can tell."""
    try:
        return tuple(int(word, 16) for word in features.split("-")) if features else ()
    except ValueError:
        return ()
