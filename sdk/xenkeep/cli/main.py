"""``xenkeep``: reads the arguments, runs a command, ends with the exit code of what went wrong."""

import gc
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from xenkeep.cli import events, local, notify, point, policy, pool, repo, run, transfer, vm
from xenkeep.cli.interruption import raise_when_terminated
from xenkeep.cli.output import complaints, printable
from xenkeep.cli.session import choose_home
from xenkeep.core_dumps import refusal_to_forbid
from xenkeep.errors import Error

EPILOG = (
    "Exit codes: 0 done, 2 wrong input, 4 not found, 5 exists already, 6 not possible in this state, "
    "7 not authenticated, 8 not allowed, 9 not reachable, 10 full, 11 conflict, 12 data damaged, "
    "13 too slow, 14 cancelled, 1 anything else; 130 and 143 for Ctrl-C and SIGTERM: what the services "
    "were asked for goes on, see `xenkeep transfer` and `xenkeep run`."
)

app = typer.Typer(
    name="xenkeep",
    help="Backup and disaster recovery for XenServer and XCP-ng pools.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(pool.app, name="pool")
app.add_typer(vm.app, name="vm")
app.add_typer(repo.app, name="repo")
app.add_typer(policy.app, name="policy")
app.add_typer(run.app, name="run")
app.add_typer(transfer.app, name="transfer")
app.add_typer(point.app, name="point")
app.add_typer(events.app, name="events")
app.add_typer(notify.app, name="notify")
for command in (local.init, local.up, local.demo, local.status, run.backup, run.restore):
    app.command()(command)


@app.callback()
def root(
    home: Annotated[
        Path | None, typer.Option(envvar="XENKEEP_HOME", help="Home folder; ~/.xenkeep without.")
    ] = None,
) -> None:
    """Options of every command."""
    choose_home(home)


def main() -> None:
    """Console script."""
    raise_when_terminated()
    gc.freeze()  # what was imported stays: looking at it again would take most of the time of ending
    try:
        _forbid_core_dumps()
        app()
    except Error as error:
        _complain(error)
        sys.exit(error.exit_code)


def _forbid_core_dumps() -> None:
    """What is typed here, and the administrator's key, are in this process for a moment."""
    if why := refusal_to_forbid():
        raise Error(
            "FailedPrecondition",
            "CORE_DUMPS_POSSIBLE",
            f"This process may leave secrets in a core dump: {why}.",
            "Let it call prctl(PR_SET_DUMPABLE); a seccomp profile may forbid it.",
        )


def _complain(error: Error) -> None:
    if "--json" in sys.argv:
        data = {"kind": error.kind, "reason": error.reason, "message": error.message, "hint": error.hint}
        typer.echo(json.dumps({"error": data}), err=True)
        return
    complaints.print("Error:", style="bold red", end=" ")
    complaints.print(printable(error.message), soft_wrap=True)
    if error.hint:
        complaints.print(printable(error.hint), soft_wrap=True)
