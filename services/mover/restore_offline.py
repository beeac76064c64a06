"""Restoring from a repository with nothing else there: no catalog, no NATS, no pool, no other service.

``python -m services.mover.restore_offline URL [--point ID [--to-directory DIR [--disk NAME]...]]``; the
passphrase or recovery key comes in on standard input. Without a directory it lists points and their disks.
Standard output is one JSON object per line, the last one the result; ``removed`` is what a run that was
killed had left. An error is one JSON object on standard error, and its exit code is that of its kind. SIGINT
and SIGTERM end it; the same restore started again goes on.
"""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from xenkeep import status
from xenkeep.working_folder import WorkingFolder

from services.chassis.core_dumps import forbid_core_dumps
from services.chassis.errors import Cancelled, InvalidInput, ResourceExhausted, XenkeepError
from services.mover.adapters.offline_restore import chosen_point, restore_point
from services.mover.adapters.offline_told import listed
from services.mover.adapters.restore_folder import RestoreFolder
from services.mover.adapters.stores import Stores
from services.mover.app.point_records import read_point
from services.mover.domain.disk_choice import chosen_disks
from services.mover.repository import Repository, RestoreOptions, Store, open_repository, repair_header
from services.mover.repository.format.names import HEADER
from services.mover.repository.opening import is_header_lost
from services.mover.repository.stores.directory import DirectoryStore
from services.mover.repository.stores.os_errors import translate
from services.mover.repository.stores.overlay import Overlay


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        forbid_core_dumps()
        _run(options, sys.stdin.readline().removesuffix("\n"))
    except XenkeepError as error:
        return _complain(error)
    except KeyboardInterrupt:
        return _complain(_interrupted(options.to_directory))
    except OSError as error:
        return _complain(translate(error, "use", str(error.filename or "the working files")))
    return 0


def _run(options: argparse.Namespace, secret: str) -> None:
    store = Stores(options.s3_credentials_dir, options.s3_ca).open(options.url)
    if options.repair_header:
        _repair_header(store, secret)
        _say({"repaired": HEADER})
        return
    if options.to_directory is None:
        if options.disk:
            raise InvalidInput(
                "Disks were chosen, and no directory for them.",
                reason="DIRECTORY_MISSING",
                hint="Name one; without it the disks are listed.",
            )
        _list(store, secret, options.point)
        return
    if not options.point:
        raise InvalidInput(
            "No restore point was named.",
            reason="POINT_MISSING",
            hint="Leave the directory out to list them.",
        )
    _say({"restored": _restore(store, secret, options.point, options.to_directory, options.disk)})


def _list(store: Store, secret: str, wanted: str) -> None:
    """All points, or the one that is ``wanted``."""
    with _cache() as cache, _opened(store, secret, cache.path) as repository:
        points = [chosen_point(repository, wanted)] if wanted else repository.list_points()
        _say({"points": [listed(repository, point) for point in points]})


def _restore(store: Store, secret: str, wanted: str, directory: Path, disks: Sequence[str]) -> dict[str, Any]:
    """The point and its disks are found with a cache that goes away; only then is the directory claimed."""
    with _cache() as cache, _opened(store, secret, cache.path) as repository:
        point = repository.get_point(chosen_point(repository, wanted))
        claim = {"repository": repository.repository_id, "point": point.point_id}
        chosen = None
        if disks:
            chosen = [disk.disk_id for disk in chosen_disks(read_point(claim["repository"], point), disks)]
            claim["disks"] = ", ".join(chosen)
        with RestoreFolder(directory, claim) as folder:
            return restore_point(repository, point, folder, RestoreOptions(), _say, chosen)


def _cache() -> WorkingFolder:
    """For what is known of the repository's index, as long as this runs."""
    try:
        return WorkingFolder("xenkeep-restore-", _say_removed)
    except OSError as error:
        raise ResourceExhausted(
            f"There is no directory for working files: {error.strerror}.",
            reason="NO_WORKING_DIRECTORY",
            hint="Set TMPDIR to one that can be written, with room for the index: some 100 bytes a chunk.",
        ) from error


def _say_removed(left: Path) -> None:
    _say({"removed": str(left)})


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _interrupted(directory: Path | None) -> Cancelled:
    left = "" if directory is None else f" {directory} keeps what was written."
    return Cancelled(
        f"The restore was interrupted.{left}",
        reason="RESTORE_INTERRUPTED",
        hint="Start the same restore again: it goes on where it was.",
    )


def _opened(store: Store, secret: str, cache: Path) -> Repository:
    """What header and index lack is made good for this time, and nothing of it written to the store."""
    overlay = Overlay(store, DirectoryStore(cache / "overlay", create=True))
    try:
        repository = open_repository(overlay, secret, cache)
    except XenkeepError as error:
        if not is_header_lost(error):
            raise
        _repair_header(overlay, secret)
        repository = open_repository(overlay, secret, cache)
        repository.note("HEADER_LOST", f"{error.message} A key slot has it: xenkeep repo repair-header.")
    try:
        repository.adopt_packs()
    except BaseException:
        repository.close()
        raise
    return repository


def _repair_header(store: Store, secret: str) -> None:
    repair_header(store, secret, lambda _code, _message: None)


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _complain(error: XenkeepError) -> int:
    told = {"kind": error.kind, "reason": error.reason, "message": error.message, "hint": error.hint}
    sys.stderr.write(json.dumps({"error": told}) + "\n")
    return status.of_kind(error.kind).exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="restore_offline", description=__doc__)
    parser.add_argument("url", help="where the repository is")
    parser.add_argument("--point", default="", help="id of the restore point, or the beginning of it")
    parser.add_argument("--disk", action="append", default=[], help="device, name or UUID; repeatable")
    parser.add_argument("--s3-credentials-dir", type=Path, help="directory of files with S3 credentials")
    parser.add_argument("--s3-ca", type=Path, help="PEM file with the authority of the S3 server")
    parser.add_argument("--repair-header", action="store_true", help="write a lost header again")
    parser.add_argument("--to-directory", type=Path, help="new or empty; points are listed without")
    return parser


if __name__ == "__main__":
    sys.exit(main())
