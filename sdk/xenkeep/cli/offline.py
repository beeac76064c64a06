"""``xenkeep restore --repository``: from a repository and one key, with nothing else running."""

import json
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, TaskID

from xenkeep.cli.following import progress_bars
from xenkeep.cli.interruption import told_if_interrupted
from xenkeep.cli.offline_shown import point_shown, points_shown, restored_shown
from xenkeep.cli.output import complaints, console, show_data
from xenkeep.cli.session import secret
from xenkeep.errors import Error
from xenkeep.local.processes import leashed

PROGRAM = "services.mover.restore_offline"

Repository = Annotated[
    str | None,
    typer.Option(help="Restore from this repository (directory or URL) alone; no service is asked."),
]
Directory = Annotated[
    Path | None, typer.Option(help="New or empty directory for raw disk images and the VM's configuration.")
]
Disks = Annotated[
    list[str] | None,
    typer.Option(
        metavar="DISK",
        help="With --to-directory: only this disk, by device (0, xvda), name or UUID; repeatable.",
    ),
]
S3CredentialsDir = Annotated[
    Path | None,
    typer.Option(
        envvar="XENKEEP_S3_CREDENTIALS_DIR", help="With --repository s3://...: directory of credential files."
    ),
]
S3Ca = Annotated[
    Path | None,
    typer.Option(envvar="XENKEEP_S3_CA", help="With --repository s3://...: authority of the server, PEM."),
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of a repository alone; without a directory it is only looked at, without disks all are meant."""

    point: str
    to_directory: Path | None
    disks: tuple[str, ...]

    def options(self) -> list[str]:
        """As the program takes them."""
        options = [f"--point={self.point}"] if self.point else []
        if self.to_directory is not None:
            options += ["--to-directory", str(self.to_directory.absolute())]
        return [*options, *(f"--disk={disk}" for disk in self.disks)]


def url_of(where: str) -> str:
    """A directory as a URL; a URL as it is."""
    return where if "://" in where else Path(where).absolute().as_uri()


def restore(
    repository: str,
    wanted: Wanted,
    secret_from: tuple[Path | None, str | None],
    s3: tuple[Path | None, Path | None],
    *,
    json_: bool,
    in_pool: bool,
) -> None:
    """List what ``repository`` holds, or write what is ``wanted`` into its directory.

    ``secret_from`` are the file that holds the secret and the command that prints it, one or none of them.
    ``s3`` is the directory of S3 credentials and the file with the S3 server's authority.
    """
    if in_pool or (wanted.to_directory and not wanted.point) or (wanted.disks and not wanted.to_directory):
        raise Error(
            "InvalidInput",
            "OPTIONS_INVALID",
            "A restore from a repository alone takes a restore point, and --disk besides if wanted, with "
            "--to-directory; without that it lists.",
            "Options for a pool need the services: leave --repository out.",
        )
    file, command = secret_from
    key = secret(file, "--secret-file", "Passphrase or recovery key", command=command)
    answer: dict[str, Any] = {}
    with (
        _interruptible(wanted.to_directory),
        progress_bars(hidden=json_) as bars,
        closing(told_by_program([url_of(repository), *wanted.options(), *s3_options(*s3)], key)) as told,
    ):
        tasks: dict[str, TaskID] = {}
        for answer in told:
            if "doing" in answer:
                _advance(bars, tasks, answer)
            elif "removed" in answer:
                complaints.print(f"Removed {answer['removed']}: working files of a restore that was killed.")
    if json_:
        show_data(answer)
    elif "restored" in answer:
        console.print(restored_shown(answer["restored"], wanted.to_directory))
    else:
        console.print(point_shown(answer["points"][0]) if wanted.point else points_shown(answer["points"]))


def _advance(bars: Progress, tasks: dict[str, TaskID], told: dict[str, Any]) -> None:
    name = f"{told['doing']} {told['file']}"
    if name not in tasks:
        tasks[name] = bars.add_task(name, total=None, state="")
    bars.update(tasks[name], completed=told.get("done_bytes", 0), total=told.get("total_bytes"))


def _interruptible(directory: Path | None) -> AbstractContextManager[None]:
    if directory is None:
        return told_if_interrupted("The listing was interrupted.", "Start it again.")
    return told_if_interrupted(
        f"The restore was interrupted; {directory} keeps what was written.",
        "Start the same restore again: it goes on where it was.",
    )


def s3_options(credentials_dir: Path | None, ca: Path | None) -> list[str]:
    """As the program takes them."""
    given = (("--s3-credentials-dir", credentials_dir), ("--s3-ca", ca))
    return [word for option, path in given if path is not None for word in (option, str(path.absolute()))]


def require_repository_for(wanted: Wanted, secret_from: tuple[Path | None, str | None]) -> None:
    """Raises Error InvalidInput for a restore by the services that is asked for half."""
    if not wanted.point or wanted.to_directory or wanted.disks or secret_from != (None, None):
        needs = "--to-directory, --disk and a secret need --repository."
        raise Error(
            "InvalidInput",
            "OPTIONS_INVALID",
            needs if wanted.point else "Which restore point?",
            "`xenkeep point list` shows the points; --repository restores without services.",
        )


def told_by_program(arguments: Sequence[str], key: str) -> Generator[dict[str, Any], None, None]:
    """What the program says; the key goes to its standard input, where no process list shows it.

    It ends with this process, however that ends; interrupted, it is given the time to clean up.
    """
    command = leashed([sys.executable, "-P", "-m", PROGRAM, *arguments])
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        try:
            process.stdin.write(key + "\n")
            process.stdin.close()
            for line in process.stdout:
                yield json.loads(line)
            complaint = process.stderr.read()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode:
        raise _error(complaint, process.returncode)


def _error(complaint: str, code: int) -> Error:
    last = complaint.strip().rpartition("\n")[2]
    try:
        told = json.loads(last)["error"]
        return Error(told["kind"], told["reason"], told["message"], told["hint"])
    except (ValueError, KeyError, TypeError):
        said = last or "it said nothing"
        return Error(
            "Internal", "RESTORE_ENDED", f"The restore ended with {code}: {said}.", "Start it again."
        )
