"""Guests with real ext4 disks, and an independent memory of what those disks hold.

The image beside a disk is what the guest believes: every write goes to it and to the simulated disk, so its
hash is what a restore has to give back.
"""

import hashlib
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from xenkeep.errors import Error

BLOCK_BYTES = 64 * 1024
MIB = 1 << 20
RECORDS_BYTES = 24 * MIB
"""Size of ``/data/records.bin``, in which guests overwrite scattered blocks."""
ENOUGH_BYTES = 600 * MIB


@dataclass
class GuestDisk:
    """``image`` is the guest's view; ``disk_id`` its UUID in the pool, once there."""

    image: Path
    size_bytes: int
    disk_id: str = ""

    def as_it_is(self, folder: Path) -> "GuestDisk":
        """A copy that later writes of the guest do not reach; holes stay holes."""
        copy = folder / f"{self.image.stem}.then.img"
        copy.unlink(missing_ok=True)
        with copy.open("wb") as file, self.image.open("rb") as source:
            file.truncate(self.size_bytes)
            for start, end in _data_runs(self.image):
                file.seek(start)
                source.seek(start)
                while start < end:
                    start += file.write(source.read(min(4 * MIB, end - start)))
        return GuestDisk(copy, self.size_bytes, self.disk_id)

    def sha256(self) -> str:
        """Of the whole disk, holes included."""
        digest = hashlib.sha256()
        for data in _whole(self.image, self.size_bytes):
            digest.update(data)
        return digest.hexdigest()

    def block_digests(self) -> dict[int, bytes]:
        """Offset to digest of every block that is not a hole of the image."""
        return {
            offset: hashlib.blake2b(data, digest_size=16).digest()
            for offset, data in _allocated_blocks(self.image)
        }


def make_disk(folder: Path, name: str, size_bytes: int, payload_bytes: int, rng: random.Random) -> GuestDisk:
    """An ext4 disk with about ``payload_bytes`` of this machine's own files on it."""
    tree = folder / f"{name}.tree"
    (tree / "data").mkdir(parents=True)
    _copy_files(tree / "files", payload_bytes, rng)
    (tree / "data" / "records.bin").write_bytes(rng.randbytes(RECORDS_BYTES))
    image = folder / f"{name}.img"
    options = ["-q", "-F", "-t", "ext4", "-J", "size=8", "-E", "root_owner=0:0,lazy_itable_init=1"]
    _tool("mke2fs", *options, "-d", str(tree), str(image), f"{size_bytes // 1024}k")
    shutil.rmtree(tree)
    return GuestDisk(image, size_bytes)


def find_files() -> None:
    """Look for this machine's files once, before several disks are made of them at the same time."""
    _machine_files()


def require_tools() -> None:
    """Raises Error FailedPrecondition when e2fsprogs is missing, before anything is begun."""
    for name in ("mke2fs", "debugfs", "e2fsck"):
        _path_of(name)


def change(disk: GuestDisk, blocks: int, rng: random.Random) -> list[tuple[int, bytes]]:
    """Let the guest overwrite ``blocks`` scattered 64 KiB of records and add and remove files.

    Returns the writes as (offset, data) by whole blocks, so that their number is what really changed.
    """
    before = disk.block_digests()
    with disk.image.open("r+b") as image:
        for offset in rng.sample(_record_blocks(disk.image), blocks):
            image.seek(offset)
            image.write(rng.randbytes(BLOCK_BYTES))
    note = disk.image.with_suffix(".note")
    note.write_text(f"{rng.random()}\n" * 1000, encoding="utf-8")
    commands = f"write {note} /note-{rng.randrange(1 << 32):08x}.txt\n"
    done = subprocess.run(
        [_path_of("debugfs"), "-w", "-f", "/dev/stdin", str(disk.image)],
        input=commands,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise _failed("debugfs", done.stderr)
    note.unlink()
    after = disk.block_digests()
    changed = sorted(offset for offset, digest in after.items() if before.get(offset) != digest)
    with disk.image.open("rb") as image:
        return [(offset, _at(image.fileno(), offset)) for offset in changed]


def file_system_problems(image: Path) -> str:
    """What ``e2fsck -fn`` complains about; empty when the file system is clean."""
    command = [_path_of("e2fsck"), "-fn", str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()


def _record_blocks(image: Path) -> list[int]:
    """Offsets of the 64 KiB blocks of the disk that lie wholly within ``/data/records.bin``."""
    listed = _tool("debugfs", "-R", "blocks /data/records.bin", str(image))
    owned = {int(number) for number in listed.split()}
    per_block = BLOCK_BYTES // 4096
    starts = sorted({number - number % per_block for number in owned})
    return [start * 4096 for start in starts if all(start + i in owned for i in range(per_block))]


def _copy_files(target: Path, budget_bytes: int, rng: random.Random) -> None:
    """Fill ``target`` with copies of files of this Python installation and system, up to a budget."""
    target.mkdir()
    files = list(_machine_files())
    rng.shuffle(files)
    used = 0
    for number, (path, size) in enumerate(files):
        if used >= budget_bytes:
            return
        folder = target / f"{number % 64:02d}"
        folder.mkdir(exist_ok=True)
        _link_or_copy(path, folder / f"{number}-{path.name[-80:]}")
        used += size
    raise Error(
        "FailedPrecondition",
        "DEMO_FILES_SHORT",
        f"This machine has only {used // MIB} MiB of files to fill a guest's disk with.",
        "Install the full Python distribution.",
    )


def _link_or_copy(source: Path, target: Path) -> None:
    """The tree is only read, so a link will do where the system allows one."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@cache
def _machine_files() -> tuple[tuple[Path, int], ...]:
    """Readable files of this Python installation and, when those are few, of the system, with their sizes."""
    found: list[tuple[Path, int]] = []
    for root in (Path(sys.base_prefix) / "lib", Path("/usr/lib"), Path("/usr/share")):
        found += _regular_files(root)
        if sum(size for _, size in found) > ENOUGH_BYTES:
            break
    return tuple(found)


def _regular_files(root: Path) -> Iterator[tuple[Path, int]]:
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = Path(folder) / name
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and 0 < status.st_size < 8 * MIB and os.access(path, os.R_OK):
                yield path, status.st_size


def _whole(image: Path, size_bytes: int) -> Iterator[bytes | memoryview]:
    zeros = memoryview(bytes(4 * MIB))
    position = 0
    for start, end in _data_runs(image):
        yield from _zeros(zeros, start - position)
        with image.open("rb") as file:
            file.seek(start)
            while start < end:
                data = file.read(min(4 * MIB, end - start))
                start += len(data)
                yield data
        position = end
    yield from _zeros(zeros, size_bytes - position)


def _zeros(zeros: memoryview, count: int) -> Iterator[memoryview]:
    while count > 0:
        piece = zeros[: min(len(zeros), count)]
        count -= len(piece)
        yield piece


def _allocated_blocks(image: Path) -> Iterator[tuple[int, bytes]]:
    with image.open("rb") as file:
        last = -1
        for start, end in _data_runs(image):
            for offset in range(max(start - start % BLOCK_BYTES, last), end, BLOCK_BYTES):
                yield offset, _at(file.fileno(), offset)
                last = offset + BLOCK_BYTES


def _at(descriptor: int, offset: int) -> bytes:
    return os.pread(descriptor, BLOCK_BYTES, offset)


def _data_runs(image: Path) -> Iterator[tuple[int, int]]:
    with image.open("rb") as file:
        descriptor, position, size = file.fileno(), 0, os.fstat(file.fileno()).st_size
        while position < size:
            try:
                start = os.lseek(descriptor, position, os.SEEK_DATA)
            except OSError:  # no data after this: ENXIO
                return
            position = os.lseek(descriptor, start, os.SEEK_HOLE)
            yield start, position


def _tool(name: str, *arguments: str) -> str:
    done = subprocess.run([_path_of(name), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise _failed(name, done.stderr)
    return done.stdout


@cache
def _path_of(name: str) -> str:
    """Debian keeps these tools where only root looks for programs."""
    places = [os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/local/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise Error(
            "FailedPrecondition",
            "TOOL_MISSING",
            f"{name} is not installed; the demo makes and checks real ext4 file systems with it.",
            "Install e2fsprogs: `apt install e2fsprogs`, `dnf install e2fsprogs`, `brew install e2fsprogs`.",
        )
    return found


def _failed(tool: str, complaint: str) -> Error:
    return Error("Internal", "TOOL_FAILED", f"{tool} failed: {complaint.strip()}")
