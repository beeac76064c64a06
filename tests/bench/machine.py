"""What the figures were taken on."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
_VERSIONS = {
    "nbdkit": ["nbdkit", "--version"],
    "nbdcopy": ["nbdcopy", "--version"],
    "qemu_img": ["qemu-img", "--version"],
    "restic": ["restic", "version"],
    "borg": ["borg", "--version"],
    "revision": ["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
}
_PACKAGES = ("xenkeep", "cryptography", "zstandard", "blake3")


def machine(work: Path) -> dict[str, object]:
    """``work`` is where the disks and repositories are."""
    return {
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_mib": int((_field("/proc/meminfo", "MemTotal") or "0").split()[0]) >> 10,
        "system": platform.platform(),
        "file_system": _said(["stat", "--file-system", "--format=%T", str(work)]),
    }


def versions() -> dict[str, str | None]:
    """Null is what is not there."""
    programs = {name: _said(command) for name, command in _VERSIONS.items()}
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES} | programs


def _field(file: str, name: str) -> str | None:
    for line in Path(file).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _said(command: list[str]) -> str | None:
    """The first line."""
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else None
