"""Watching long work until it ends, for a person or a script."""

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from xenkeep.cli.interruption import told_if_interrupted
from xenkeep.cli.output import complaints, last_part, short, word
from xenkeep.client import Client
from xenkeep.common.v1 import capture_pb2
from xenkeep.errors import Error
from xenkeep.mover.v1 import transfer_pb2
from xenkeep.scheduler.v1 import run_pb2

T = TypeVar("T")
PATIENCE_S: Final = 120.0
"""So long a service may be away while its work is followed: it is started again, and goes on."""


def follow_run(xenkeep: Client, name: str, *, json_: bool) -> run_pb2.Run:
    """Show a run's tasks until it ended and return it. Interrupted, it says that the run goes on."""
    run = xenkeep.runs.get(name)
    id_ = short(name)
    with (
        told_if_interrupted(
            f"The run {id_} goes on; only this command has ended.",
            f"Follow it with `xenkeep run watch {id_}`, stop it with `xenkeep run cancel {id_}`.",
        ),
        progress_bars(hidden=json_) as bars,
    ):
        shown: dict[str, int] = {}
        for run in _past_restarts(xenkeep, "scheduler", lambda: xenkeep.runs.watch(name)):
            for task in run.tasks:
                if task.name not in shown:
                    shown[task.name] = bars.add_task(task.subject_display_name, total=None, state="")
                _show(bars, shown[task.name], task.progress, _state(task))
    return run


def raise_unless_succeeded(run: run_pb2.Run) -> None:
    """Raise what made a run fail: its own failure, or that of its first failed task."""
    if run.state == run_pb2.Run.STATE_SUCCEEDED:
        return
    if run.state == run_pb2.Run.STATE_CANCELLED:
        raise Error("Cancelled", "RUN_CANCELLED", "The run was cancelled.")
    failures = [run.failure, *(task.failure for task in run.tasks if task.state == run_pb2.Task.STATE_FAILED)]
    for failure in failures:
        if failure.reason:
            raise failure_error(failure)
    raise Error("Internal", "RUN_FAILED", f"The run ended as {word(run_pb2.Run.State, run.state)}.")


def follow_transfer(xenkeep: Client, name: str, *, json_: bool) -> transfer_pb2.Transfer:
    """Show a transfer until it ended and return it. Raises Error when it did not succeed.

    Interrupted, it says that the transfer goes on, and how to stop it.
    """
    transfer = xenkeep.transfers.get(name)
    id_ = last_part(name)
    with (
        told_if_interrupted(
            f"The transfer {id_} goes on; only this command has ended.",
            f"Follow it with `xenkeep transfer watch {id_}`, stop it with `xenkeep transfer cancel {id_}`.",
        ),
        progress_bars(hidden=json_) as bars,
    ):
        bar = bars.add_task("", total=None, state="")
        for transfer in _past_restarts(xenkeep, "mover", lambda: xenkeep.transfers.watch(name)):
            _show(bars, bar, transfer.progress, transfer.progress.activity)
    raise_unless_done(transfer)
    return transfer


def raise_unless_done(transfer: transfer_pb2.Transfer) -> None:
    """Raise what made a transfer fail, or that it was cancelled."""
    if transfer.state == transfer_pb2.Transfer.STATE_FAILED:
        raise failure_error(transfer.failure)
    if transfer.state == transfer_pb2.Transfer.STATE_CANCELLED:
        raise Error("Cancelled", "TRANSFER_CANCELLED", "The transfer was cancelled.")


def failure_error(failure: capture_pb2.Failure) -> Error:
    """A failure as the error it was."""
    return Error(failure.kind or "Internal", failure.reason, failure.message, failure.hint)


def _past_restarts(xenkeep: Client, service: str, watch: Callable[[], Iterator[T]]) -> Iterator[T]:
    """What ``watch`` tells, again and again while the service dies and comes back. Raises Error."""
    while True:
        try:
            yield from watch()
            return
        except Error as error:
            if error.kind != "Unavailable":
                raise
            complaints.print(f"The {service} service does not answer; waiting for it.")
            xenkeep.wait_until_serving(service, PATIENCE_S)


def progress_bars(*, hidden: bool) -> Progress:
    """Shows bytes done, of how many, how fast, and in which state."""
    return Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TextColumn("{task.fields[state]}"),
        console=complaints,
        disable=hidden,
    )


def _show(bars: Progress, bar: int, progress: transfer_pb2.Progress, state: str) -> None:
    bars.update(bar, completed=progress.done_bytes, total=progress.total_bytes or None, state=state)  # type: ignore[arg-type]


def _state(task: run_pb2.Task) -> str:
    return task.activity or word(run_pb2.Task.State, task.state)
