"""``xenkeep restore --repository``: from a repository and one key, with nothing else running."""

import json
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, TaskID

from xenkeep.cli.following import progress_bars
from xenkeep.cli.interruption import told_if_interrupted
from xenkeep.cli.output import console, details, show_data, size, table
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


def url_of(where: str) -> str:
    """A directory as a URL; a URL as it is."""
    return where if "://" in where else Path(where).absolute().as_uri()


def restore(
    repository: str,
    point: str,
    to_directory: Path | None,
    secret_from: tuple[Path | None, str | None],
    s3: tuple[Path | None, Path | None],
    *,
    json_: bool,
    in_pool: bool,
) -> None:
    """List the points of ``repository``, or write ``point`` into ``to_directory``.

    ``secret_from`` are the file that holds the secret and the command that prints it, one or none of them.
    ``s3`` is the directory of S3 credentials and the file with the S3 server's authority.
    """
    if in_pool or bool(point) != (to_directory is not None):
        raise Error(
            "InvalidInput",
            "OPTIONS_INVALID",
            "A restore from a repository alone takes a restore point and --to-directory, or neither.",
            "Options for a pool need the services: leave --repository out.",
        )
    file, command = secret_from
    key = secret(file, "--secret-file", "Passphrase or recovery key", command=command)
    wanted = (
        [] if to_directory is None else ["--point", point, "--to-directory", str(to_directory.absolute())]
    )
    wanted += s3_options(*s3)
    answer: dict[str, Any] = {}
    with (
        _interruptible(to_directory),
        progress_bars(hidden=json_) as bars,
        closing(told_by_program([url_of(repository), *wanted], key)) as told,
    ):
        tasks: dict[str, TaskID] = {}
        for answer in told:
            if "doing" in answer:
                _advance(bars, tasks, answer)
    if json_:
        show_data(answer)
    elif "points" in answer:
        console.print(table(("RESTORE POINT", "VM", "TAKEN", "SIZE", "DAMAGE"), map(_row, answer["points"])))
    else:
        _show(answer["restored"], to_directory)


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


def require_repository_for(
    point: str, to_directory: Path | None, secret_from: tuple[Path | None, str | None]
) -> None:
    """Raises Error InvalidInput for a restore by the services that is asked for half."""
    if not point or to_directory is not None or secret_from != (None, None):
        raise Error(
            "InvalidInput",
            "OPTIONS_INVALID",
            "Which restore point?" if not point else "--to-directory and a secret need --repository.",
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


def _row(point: dict[str, Any]) -> Sequence[str]:
    asset = point.get("asset", {})
    return (
        point["point"],
        asset.get("name", ""),
        point.get("snapshot_time", ""),
        size(int(point.get("size_bytes", 0))),
        point["damage"],
    )


def _show(restored: dict[str, Any], directory: Path | None) -> None:
    console.print(
        details(
            [
                ("Restored", restored["point"]),
                ("VM", restored["asset"].get("name", "")),
                ("Into", str(directory)),
                *(
                    (disk["file"], f"{disk['label']} {size(int(disk['size_bytes']))}")
                    for disk in restored["disks"]
                ),
                ("Configuration", restored["vm_configuration"] or "none was stored"),
                *(("Notice", notice["message"]) for notice in restored["notices"]),
            ]
        )
    )
