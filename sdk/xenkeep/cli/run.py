"""``xenkeep run``, ``xenkeep backup``, ``xenkeep restore``."""

import json
from typing import Annotated, Literal

import typer
from rich.console import Group, RenderableType

from xenkeep.cli import offline
from xenkeep.cli.capture_options import capture_options
from xenkeep.cli.following import follow_run, raise_unless_succeeded
from xenkeep.cli.output import (
    Json,
    as_data,
    console,
    details,
    last_part,
    level,
    moment,
    short,
    show,
    show_all,
    size,
    table,
    word,
)
from xenkeep.cli.own_snapshots import snapshot_id
from xenkeep.cli.secret_command import SecretCommand
from xenkeep.cli.session import SecretFile, client
from xenkeep.client import Client
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import restore_target_pb2
from xenkeep.scheduler.v1 import run_pb2

app = typer.Typer(help="Runs: executions of policies, backups by hand, restores.", no_args_is_help=True)
Wait = Annotated[bool, typer.Option(help="Follow the run and end with its outcome.")]
Method = Literal["normal", "offline", "memory", "quiesced"]
Memory = Literal["with", "without"]
Full = Annotated[bool, typer.Option(help="Read everything even where an incremental is possible.")]


@app.command()
def start(policy: str, full: Full = False, wait: Wait = False, json_: Json = False) -> None:
    """Execute a policy now."""
    with client() as xenkeep:
        run = xenkeep.runs.start_policy(f"policies/{last_part(policy)}", full=full)
        _finish(xenkeep, run, wait=wait, json_=json_)


def backup(
    to: Annotated[str, typer.Option(help="Repository.")],
    vms: Annotated[list[str] | None, typer.Argument(metavar="[VM...]", help="VMs by name or UUID.")] = None,
    pool_metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="POOL", help="Save this pool's database and description; repeatable."),
    ] = None,
    hosts: Annotated[bool, typer.Option(help="With --pool-metadata: the files of its hosts, too.")] = False,
    method: Annotated[Method, typer.Option(help="How the VMs are captured.")] = "normal",
    prefer: Annotated[
        bool, typer.Option(help="Take a normal snapshot, and say so, where the method cannot be used.")
    ] = False,
    domain_controllers: Annotated[
        bool, typer.Option(help="With the method memory: also of what seems to be a domain controller.")
    ] = False,
    group: Annotated[bool, typer.Option(help="All VMs at one moment, or none of them.")] = False,
    own_snapshots: Annotated[
        bool, typer.Option(help="Save the disks of snapshots that somebody took of the VMs, too.")
    ] = False,
    full: Full = False,
    wait: Wait = False,
    json_: Json = False,
) -> None:
    """Back VMs, or a pool's metadata, up now, without a policy."""
    options = capture_options(
        method, prefer=prefer, domain_controllers=domain_controllers, own_snapshots=own_snapshots
    )
    with client() as xenkeep:
        run = xenkeep.runs.backup(
            vms or [],
            to,
            method=capture_pb2.Method.Value(f"METHOD_{method.upper()}"),
            full=full,
            options=options,
            group=group,
            pools=pool_metadata or [],
            hosts=hosts,
        )
        _finish(xenkeep, run, wait=wait, json_=json_)


def restore(
    point: Annotated[str, typer.Argument(help="Restore point: its UUID or the beginning of it.")] = "",
    repository: offline.Repository = None,
    to_directory: offline.Directory = None,
    disk: offline.Disks = None,
    secret_file: SecretFile = None,
    secret_command: SecretCommand = None,
    s3_credentials_dir: offline.S3CredentialsDir = None,
    s3_ca: offline.S3Ca = None,
    over_original: Annotated[
        bool, typer.Option(help="Replace the VM the point was taken from, keeping its identity.")
    ] = False,
    name: Annotated[str, typer.Option(help="Name of the new VM; as it was without.")] = "",
    pool: Annotated[str, typer.Option(help="Another pool than the one it came from.")] = "",
    sr: Annotated[str, typer.Option(help="Another storage repository, by name or UUID.")] = "",
    keep_mac: Annotated[bool, typer.Option(help="The new VM keeps its MAC addresses.")] = False,
    start_vm: Annotated[
        bool, typer.Option("--start", help="Start the VM afterwards, or resume it with its memory.")
    ] = False,
    memory: Annotated[
        Memory | None,
        typer.Option(
            help="What becomes of the memory in a point: with (also of domain controllers), without."
        ),
    ] = None,
    key_material: Annotated[bool, typer.Option(help="The new VM gets the original's virtual TPM.")] = False,
    own_snapshot: Annotated[
        str, typer.Option(help="Make a VM of this snapshot of its own that the point saved: name or UUID.")
    ] = "",
    wait: Wait = False,
    json_: Json = False,
) -> None:
    """Put a VM back, as a new VM or over the original; or, with --repository, into a directory.

    With --repository nothing else needs to run. Without a restore point it lists what is there, without
    --to-directory the disks of the point.
    """
    secret_from = (secret_file, secret_command)
    if repository is not None:
        in_pool = (
            *(over_original, name, pool, sr, keep_mac, start_vm),
            *(memory, key_material, own_snapshot, wait),
        )
        s3 = (s3_credentials_dir, s3_ca)
        what = offline.Wanted(point, to_directory, tuple(disk or ()))
        offline.restore(repository, what, secret_from, s3, json_=json_, in_pool=any(in_pool))
        return
    offline.require_repository_for(offline.Wanted(point, to_directory, tuple(disk or ())), secret_from)
    placement = restore_target_pb2.Placement(
        pool=pool,
        sr=sr,
        mode=(
            restore_target_pb2.Placement.MODE_ORIGINAL
            if over_original
            else restore_target_pb2.Placement.MODE_NEW_VM
        ),
        vm_display_name=name,
        keep_mac_addresses=keep_mac,
        start=start_vm,
        memory=restore_target_pb2.Placement.Memory.Value(f"MEMORY_{(memory or 'unspecified').upper()}"),
        key_material=key_material,
    )
    with client() as xenkeep:
        found = xenkeep.restore_points.get(point)
        if own_snapshot:
            placement.vm_snapshot = snapshot_id(found, own_snapshot)
        _finish(xenkeep, xenkeep.runs.restore(found.name, placement), wait=wait, json_=json_)


@app.command("list")
def list_(json_: Json = False) -> None:
    """List the runs, newest first."""
    with client() as xenkeep:
        show_all(
            xenkeep.runs.list(),
            ("RUN", "WHAT", "STATE", "STARTED", "ENDED"),
            lambda run: (
                short(run.name),
                _what(run),
                word(run_pb2.Run.State, run.state),
                moment(run.create_time),
                moment(run.end_time),
            ),
            json_=json_,
        )


@app.command("show")
def show_one(name: str, json_: Json = False) -> None:
    """Show a run and its tasks."""
    with client() as xenkeep:
        run = xenkeep.runs.get(_name(name))
    show(run, lambda: _render(run), json_=json_)


@app.command()
def watch(name: str, json_: Json = False) -> None:
    """Follow a run until it ended; with --json one line per change."""
    with client() as xenkeep:
        run = xenkeep.runs.get(_name(name))
        if json_:
            for run in xenkeep.runs.watch(run.name):  # noqa: B020 - the last one is wanted
                typer.echo(_line(run))
        else:
            run = follow_run(xenkeep, run.name, json_=False)
            console.print(_render(run))
    raise_unless_succeeded(run)


@app.command()
def cancel(name: str, json_: Json = False) -> None:
    """Ask a run to stop. Tasks that are done stay done."""
    with client() as xenkeep:
        run = xenkeep.runs.cancel(xenkeep.runs.get(_name(name)).name)
    show(run, lambda: _render(run), json_=json_)


def _finish(xenkeep: Client, run: run_pb2.Run, *, wait: bool, json_: bool) -> None:
    if wait:
        run = follow_run(xenkeep, run.name, json_=json_)
    elif not json_:
        console.print(f"Started run {short(run.name)}; follow it with `xenkeep run watch {short(run.name)}`.")
        return
    show(run, lambda: _render(run), json_=json_)
    if wait:
        raise_unless_succeeded(run)


def _name(name: str) -> str:
    return f"runs/{last_part(name)}"


def _line(run: run_pb2.Run) -> str:
    return json.dumps(as_data(run))


def _what(run: run_pb2.Run) -> str:
    kind = run.spec.WhichOneof("kind")
    if kind == "policy":
        return last_part(run.spec.policy.policy)
    if kind == "restore":
        return f"restore of {short(run.spec.restore.restore_point)}"
    backup = run.spec.backup
    return f"backup of {', '.join([*backup.vms, *(f'pool {pool}' for pool in backup.pools)])}"


def _render(run: run_pb2.Run) -> RenderableType:
    head = details(
        [
            ("Run", last_part(run.name)),
            ("What", _what(run)),
            ("State", word(run_pb2.Run.State, run.state)),
            ("Started", moment(run.create_time)),
            ("Ended", moment(run.end_time)),
            ("Why", " ".join(filter(None, (run.failure.message, run.failure.hint)))),
            *[("Notice", notice.message) for notice in run.notices],
        ]
    )
    tasks = table(("VM", "STATE", "LEVEL", "READ", "STORED", "RATE", "NOTE"), map(_task_row, run.tasks))
    return Group(head, tasks)


def _task_row(task: run_pb2.Task) -> tuple[str, ...]:
    point = task.result.point
    reason = next((disk.full_reason for disk in point.disks if disk.full_reason), 0)
    seconds = task.result.seconds
    read = point.read_bytes or task.progress.read_bytes
    notices = (*task.notices, *task.result.notices)
    notes = [f"{task.failure.message} {task.failure.hint}".strip(), *(n.message for n in notices)]
    return (
        task.subject_display_name,
        word(run_pb2.Task.State, task.state),
        level(point.level, reason),
        size(read),
        size(point.stored_bytes or task.progress.stored_bytes),
        f"{size(int(read / seconds))}/s" if seconds else "",
        " ".join(filter(None, notes)) or task.activity,
    )
