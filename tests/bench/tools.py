"""The programs the benchmark needs, from Debian's packages."""

import os
import shutil
import subprocess

from services.chassis.errors import FailedPrecondition

NEEDED = {"nbdkit": "nbdkit", "nbdcopy": "libnbd-bin", "mkfs.ext4": "e2fsprogs"}
"""Without these there is nothing to measure: program and package."""
PEERS = {"restic": "restic", "borg": "borgbackup", "qemu-img": "qemu-utils"}
"""Without one of these its figures are null."""


def provide(*, install: bool) -> dict[str, str]:
    """Installs what is missing, as root and when asked to; missing peers and the reason why.

    Raises FailedPrecondition when one of the ``NEEDED`` programs is still missing.
    """
    missing = [package for program, package in (NEEDED | PEERS).items() if not shutil.which(program)]
    reason = "it is not installed"
    if missing and install and os.geteuid() == 0:
        reason = _installed(missing)
    elif missing and install:
        reason = "it is not installed, and only root can install it"
    for program, package in NEEDED.items():
        if not shutil.which(program):
            raise FailedPrecondition(
                f"The benchmark needs {program}: {reason}.",
                reason="TOOL_MISSING",
                hint=f"Install the package {package}.",
            )
    return {program: reason for program in PEERS if not shutil.which(program)}


def _installed(packages: list[str]) -> str:
    """Why one of the packages could still be missing."""
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return "it is not installed, and there is no apt-get"
    return f"apt-get ended with {done.returncode}: {done.stderr.strip()[-300:]}"
