"""restic, Borg and qemu-img, each as its manual says for disk images."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.mover.repository import Extent
from tests.bench.contender import Disk
from tests.bench.disks import MIB
from tests.bench.process import Cost, run

PASSPHRASE = "a passphrase for nothing but benchmarks"


class Restic:
    """Fed with the raw file and with nbdcopy's output, into two repositories: the faster one counts.

    zstd at its fastest: ``--compression fastest`` (restic 0.18), before that ``auto``.
    """

    name = "restic"

    def __init__(self, home: Path) -> None:
        self._home = home
        self._path_inside: dict[Path, Path] = {}
        self._fastest = home / "raw"
        self._compression = _restic_compression()

    def full(self, disk: Disk) -> Cost:
        raw, stdin = self._home / "raw", self._home / "stdin"
        self._run(raw, "init")
        shutil.copytree(raw, stdin)
        costs = {repository: self._backup(repository, disk) for repository in (raw, stdin)}
        self._fastest = min(costs, key=lambda repository: costs[repository].seconds)
        for repository in costs.keys() - {self._fastest}:
            shutil.rmtree(repository)
        return costs[self._fastest]

    @property
    def stored(self) -> Path:
        return self._fastest

    def incremental(self, disk: Disk, changed: Sequence[Extent]) -> Cost:
        return self._backup(self._fastest, disk)

    def restore(self, folder: Path) -> Cost:
        return self._run(self._fastest, "restore", "latest", f"--target={folder}")

    def restored(self, folder: Path) -> Path:
        return folder / self._path_inside[self._fastest]

    def _backup(self, repository: Path, disk: Disk) -> Cost:
        how = ["backup", "--compression", self._compression]
        if repository.name == "raw":
            self._path_inside[repository] = disk.image.relative_to("/")
            return self._run(repository, *how, str(disk.image))
        self._path_inside[repository] = Path("disk.raw")
        fed_by = disk.nbdcopy("-")
        return self._run(repository, *how, "--stdin", "--stdin-filename=disk.raw", fed_by=fed_by)

    def _run(self, repository: Path, *arguments: str, fed_by: Sequence[str] | None = None) -> Cost:
        command = ["restic", "-q", f"--repo={repository}", f"--cache-dir={self._home / 'cache'}", *arguments]
        return run(command, environment={"RESTIC_PASSWORD": PASSPHRASE}, fed_by=fed_by)


class Borg:
    """zstd,1, fixed chunks as large as ours, holes skipped, encrypted, from the raw file."""

    name = "borg"

    def __init__(self, home: Path) -> None:
        self._home = home
        self._environment: Mapping[str, str] = {"BORG_BASE_DIR": str(home), "BORG_PASSPHRASE": PASSPHRASE}
        self._archives = 0
        self._path_inside = Path()

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
        self._path_inside = disk.image.relative_to("/")
        how = ["--compression=zstd,1", f"--chunker-params=fixed,{MIB}", "--sparse", "--files-cache=disabled"]
        return self._run("create", *how, self._archive, str(disk.image))

    def _run(self, *arguments: str, cwd: Path | None = None) -> Cost:
        return run(["borg", *arguments], environment=self._environment, cwd=cwd)


class QemuImg:
    """A compressed qcow2, zstd, from the raw file. It is not encrypted, and not synced to the disk."""

    name = "qemu_img"

    def __init__(self, home: Path) -> None:
        self.stored = home / "disk.qcow2"

    def full(self, disk: Disk) -> Cost:
        how = ["-c", "-m", "16", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd"]
        return run(["qemu-img", "convert", *how, str(disk.image), str(self.stored)])

    def incremental(self, disk: Disk, changed: Sequence[Extent]) -> Cost:
        return self.full(disk)

    def restore(self, folder: Path) -> Cost:
        how = ["-m", "16", "-W", "-f", "qcow2", "-O", "raw"]
        return run(["qemu-img", "convert", *how, str(self.stored), str(self.restored(folder))])

    def restored(self, folder: Path) -> Path:
        return folder / "disk.raw"


def _restic_compression() -> str:
    said = subprocess.run(["restic", "help", "backup"], capture_output=True, text=True, check=True)
    return "fastest" if "fastest" in said.stdout else "auto"
