"""QEMU's machines, and the packages of Debian that they need."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "build" / "guest"
PROGRAM = "qemu-system-x86_64"
PACKAGE = "qemu-system-x86"
_APT = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]


@pytest.fixture(scope="session")
def qemu() -> str:
    """The program; installed where that is possible, and otherwise the test is skipped with the reason."""
    with alone():
        if shutil.which(PROGRAM) is None:
            if os.geteuid() != 0:
                pytest.skip(f"{PROGRAM} is missing, and only root installs Debian's {PACKAGE}")
            install = [*_APT, "install", "-y", "--no-install-recommends", PACKAGE]
            needed(install, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})
    return PROGRAM


@contextmanager
def alone() -> Iterator[None]:
    """One worker of the tests at a time."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def needed(command: Sequence[str], **more: object) -> str:
    """What a command prints that fetches what a test needs; the test is skipped when it cannot."""
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, **more)  # type: ignore[call-overload]
    except FileNotFoundError:
        pytest.skip(f"{command[0]} is missing: this is no Debian")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"{' '.join(command)}: {error.stderr.strip()}")
    return str(done.stdout)


class Machine:
    """One that runs. With ``heard`` its ``lines`` have to be read, to their end."""

    def __init__(
        self, program: str, arguments: Sequence[str], memory_mib: int, *, heard: bool = False
    ) -> None:
        plain = ["-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none", "-nic", "none"]
        command = [program, *plain, "-m", str(memory_mib), "-serial", "stdio", *arguments]
        nowhere = subprocess.DEVNULL
        output = subprocess.PIPE if heard else nowhere
        self._process = subprocess.Popen(command, stdin=nowhere, stdout=output, stderr=sys.stderr)

    @property
    def pid(self) -> int:
        return self._process.pid

    def lines(self) -> Iterator[str]:
        """What it says on its first serial port, until it ends."""
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                yield line.decode("utf-8", "replace").strip()

    def ended(self) -> int:
        """Its exit code, as soon as there is one."""
        return self._process.wait()

    def kill(self) -> None:
        """As if its host had lost power; one that has ended is no error."""
        self._process.kill()
        self._process.wait()
