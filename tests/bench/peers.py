"""restic, Borg and qemu-img, each as its manual says for disk images.

Each can read what Xenkeep reads, the disk over NBD and TLS, or the raw file (``over_nbd`` False).
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.mover.repository import Extent
from tests.bench.contender import Disk
from tests.bench.disks import MIB
from tests.bench.process import Cost, run

PASSPHRASE = "a passphrase for nothing but benchmarks"
RAW_FILE = "_raw_file"
"""Ends the name of who reads the raw file."""


class Restic:
    """zstd at its fastest: ``--compression fastest`` (restic 0.18), before that ``auto``. NBD by nbdcopy."""

    def __init__(self, home: Path, *, over_nbd: bool) -> None:
        self.name = "restic" if over_nbd else "restic" + RAW_FILE
        self.stored = home / "repository"
        self._home = home
        self._over_nbd = over_nbd
        self._path_inside = Path("disk.raw")
        self._compression = _restic_compression()

    def full(self, disk: Disk) -> Cost:
        self._run("init")
        return self._backup(disk)

    def incremental(self, disk: Disk, changed: Sequence[Extent]) -> Cost:
        return self._backup(disk)

    def restore(self, folder: Path) -> Cost:
        return self._run("restore", "latest", f"--target={folder}")

    def restored(self, folder: Path) -> Path:
        return folder / self._path_inside

    def _backup(self, disk: Disk) -> Cost:
        how = ["backup", "--compression", self._compression]
        if self._over_nbd:
            return self._run(*how, "--stdin", "--stdin-filename=disk.raw", fed_by=disk.nbdcopy("-"))
        self._path_inside = disk.image.relative_to("/")
        return self._run(*how, str(disk.image))

    def _run(self, *arguments: str, fed_by: Sequence[str] | None = None) -> Cost:
        command = ["restic", "-q", f"--repo={self.stored}", f"--cache-dir={self._home / 'cache'}", *arguments]
        return run(command, environment={"RESTIC_PASSWORD": PASSPHRASE}, fed_by=fed_by)


class Borg:
    """zstd,1, fixed chunks as large as ours, holes skipped where it sees them, encrypted. NBD by nbdcopy."""

    def __init__(self, home: Path, *, over_nbd: bool) -> None:
        self.name = "borg" if over_nbd else "borg" + RAW_FILE
        self._home = home
        self._over_nbd = over_nbd
        self._environment: Mapping[str, str] = {"BORG_BASE_DIR": str(home), "BORG_PASSPHRASE": PASSPHRASE}
        self._archives = 0
        self._path_inside = Path("disk.raw")

    def full(self, disk: Disk) -> Cost:
        self._run("init", "--encryption=repokey", str(self.stored))
        return self._create(disk)

    def incremental(self, disk: Disk, changed: Sequence[Extent]) -> Cost:
        return self._create(disk)

    def restore(self, folder: Path) -> Cost:
        return self._run("extract", "--sparse", self._archive, cwd=folder)

    def restored(self, folder: Path) -> Path:
        return folder / self._path_inside

    @property
    def stored(self) -> Path:
        return self._home / "repository"

    @property
    def _archive(self) -> str:
        return f"{self.stored}::backup-{self._archives}"

    def _create(self, disk: Disk) -> Cost:
        self._archives += 1
        how = ["--compression=zstd,1", f"--chunker-params=fixed,{MIB}", "--sparse", "--files-cache=disabled"]
        if self._over_nbd:
            named = "--stdin-name=disk.raw"
            return self._run("create", *how, named, self._archive, "-", fed_by=disk.nbdcopy("-"))
        self._path_inside = disk.image.relative_to("/")
        return self._run("create", *how, self._archive, str(disk.image))

    def _run(self, *arguments: str, cwd: Path | None = None, fed_by: Sequence[str] | None = None) -> Cost:
        return run(["borg", *arguments], environment=self._environment, cwd=cwd, fed_by=fed_by)


class QemuImg:
    """A compressed qcow2, zstd, by its own NBD client. It is not encrypted, and not synced to the disk."""

    def __init__(self, home: Path, *, over_nbd: bool) -> None:
        self.name = "qemu_img" if over_nbd else "qemu_img" + RAW_FILE
        self.stored = home / "disk.qcow2"
        self._over_nbd = over_nbd

    def full(self, disk: Disk) -> Cost:
        source = self._nbd(disk) if self._over_nbd else ["-f", "raw", str(disk.image)]
        how = ["-c", "-m", "16", "-O", "qcow2", "-o", "compression_type=zstd"]
        return run(["qemu-img", "convert", *how, *source, str(self.stored)])

    def incremental(self, disk: Disk, changed: Sequence[Extent]) -> Cost:
        return self.full(disk)

    def restore(self, folder: Path) -> Cost:
        how = ["-m", "16", "-W", "-f", "qcow2", "-O", "raw"]
        return run(["qemu-img", "convert", *how, str(self.stored), str(self.restored(folder))])

    def restored(self, folder: Path) -> Path:
        return folder / "disk.raw"

    @staticmethod
    def _nbd(disk: Disk) -> list[str]:
        tls = f"tls-creds-x509,id=tls,endpoint=client,verify-peer=on,dir={disk.certificates}"
        at = f"file.host=localhost,file.port={disk.server.endpoint.port},file.tls-creds=tls"
        return ["--object", tls, "--image-opts", f"driver=raw,file.driver=nbd,{at}"]


def _restic_compression() -> str:
    said = subprocess.run(["restic", "help", "backup"], capture_output=True, text=True, check=True)
    return "fastest" if "fastest" in said.stdout else "auto"
