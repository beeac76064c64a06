"""``xenkeep point export``: what a restore point holds beside disks becomes files."""

import re
from collections.abc import Iterator
from pathlib import Path

from xenkeep.catalog.v1 import catalog_pb2
from xenkeep.cli.output import last_part
from xenkeep.cli.whole_file import remove_abandoned, whole_file
from xenkeep.client import Client
from xenkeep.errors import Error

DATABASE = "database.xml"
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def export(xenkeep: Client, found: catalog_pb2.RestorePoint, directory: Path) -> list[str]:
    """The files, whole or not there, readable by their owner alone: they hold secrets. Raises Error."""
    point = found.point
    if not point.streams:
        raise Error(
            "FailedPrecondition",
            "NOTHING_TO_EXPORT",
            f"The restore point {last_part(found.name)} holds disks alone.",
            "Restore the VM, or its disks into a directory with `xenkeep restore --repository`.",
        )
    names = [stream.name for stream in point.streams]
    if strange := next((name for name in names if not _SAFE.fullmatch(name)), ""):
        raise Error("DataLoss", "FILE_NAME_INVALID", f"{strange[:100]!r} is no name for a file.")
    _claim(directory)
    for stream in point.streams:
        pieces = xenkeep.repositories.read_stream(point.repository_id, point.point_id, stream.name)
        _write(directory / stream.name, pieces, stream.size_bytes)
    return names


def restore_hint(found: catalog_pb2.RestorePoint, directory: Path) -> str:
    """How a person puts a pool's database back: nothing does it by itself."""
    if DATABASE not in {stream.name for stream in found.point.streams}:
        return ""
    file = directory / DATABASE
    return (
        f"Check it: xenkeep pool check-database {found.point.asset.display_name!r} {file}\n"
        f"Put it back, on the coordinator: xe pool-restore-database file-name={file}\n"
        "That replaces the pool's database and REBOOTS the host; the supporters have to join again. "
        "Try it with dry-run=true first."
    )


def _claim(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_abandoned(directory)
        if any(directory.iterdir()):
            raise Error(
                "AlreadyExists",
                "DIRECTORY_NOT_EMPTY",
                f"{directory} is not empty; nothing is overwritten.",
                "Give a new or empty directory.",
            )
    except OSError as error:
        raise Error(
            "InvalidInput",
            "DIRECTORY_UNWRITABLE",
            f"{directory} cannot be written: {error.strerror}.",
            "Give a directory that can be written and has room.",
        ) from None


def _write(path: Path, pieces: Iterator[bytes], size_bytes: int) -> None:
    written = 0
    with whole_file(path) as file:
        for piece in pieces:
            written += file.write(piece)
        if written != size_bytes:
            text = f"{path.name} has {written} bytes instead of {size_bytes}."
            raise Error("DataLoss", "STREAM_INCOMPLETE", text, "Verify the repository.")
