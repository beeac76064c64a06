"""``xenkeep policy``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from xenkeep.cli.files import read
from xenkeep.cli.output import (
    Json,
    console,
    details,
    last_part,
    moment,
    show,
    show_all,
    show_data,
    table,
    word,
)
from xenkeep.cli.policy_file import PolicyFile
from xenkeep.cli.session import client
from xenkeep.common.v1 import capture_pb2
from xenkeep.errors import Error
from xenkeep.scheduler.v1 import policy_pb2

app = typer.Typer(help="Policies: which VMs, how, when, where to.", no_args_is_help=True)


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="YAML file with one policy.")],
    replace: Annotated[
        bool, typer.Option(help="Replace a policy of that name that says something else.")
    ] = False,
    json_: Json = False,
) -> None:
    """Make the policy a file describes. Applying the same file again changes nothing."""
    wanted = read(file, PolicyFile, "policy").to_proto()
    with client() as xenkeep:
        existing = next((each for each in xenkeep.policies.list() if each.name == wanted.name), None)
        if existing is None:
            policy = xenkeep.policies.create(wanted)
        elif replace:
            wanted.etag = existing.etag
            policy = xenkeep.policies.update(wanted)
        elif xenkeep.policies.update(wanted, validate_only=True).etag == existing.etag:
            policy = existing
        else:
            raise Error(
                "AlreadyExists",
                "POLICY_EXISTS",
                f"There is a policy {last_part(wanted.name)} that says something else than {file}.",
                "Give this one another name, or replace it with --replace.",
            )
    show(policy, lambda: details(_lines(policy)), json_=json_)


@app.command("list")
def list_(json_: Json = False) -> None:
    """List the policies."""
    with client() as xenkeep:
        show_all(
            xenkeep.policies.list(),
            ("POLICY", "VMS", "METHOD", "SCHEDULE", "NEXT RUN", "REPOSITORY"),
            lambda each: (
                last_part(each.name),
                _which(each),
                word(capture_pb2.Method, each.method),
                each.schedule or "by hand",
                "paused" if each.paused else moment(each.next_run_time),
                each.repository,
            ),
            json_=json_,
        )


@app.command("show")
def show_one(name: str, json_: Json = False) -> None:
    """Show a policy."""
    with client() as xenkeep:
        policy = xenkeep.policies.get(f"policies/{last_part(name)}")
    show(policy, lambda: details(_lines(policy)), json_=json_)


@app.command()
def preview(name: str, json_: Json = False) -> None:
    """Show what a run would do now: which VMs, and by which method each. Nothing is done."""
    with client() as xenkeep:
        found = xenkeep.policies.preview(f"policies/{last_part(name)}")
    show(found, lambda: _preview(found), json_=json_)


@app.command()
def remove(name: str, json_: Json = False) -> None:
    """Remove a policy. Its runs and restore points stay."""
    with client() as xenkeep:
        xenkeep.policies.remove(f"policies/{last_part(name)}")
    if json_:
        show_data({"removed": f"policies/{last_part(name)}"})
    else:
        console.print(f"Removed policy {last_part(name)}.")


def _preview(found: policy_pb2.PreviewPolicyResponse) -> RenderableType:
    rows = [
        (
            each.vm_display_name,
            word(capture_pb2.Method, each.method) or "fails",
            word(capture_pb2.Consistency, each.consistency),
            each.group,
            each.message,
        )
        for each in found.vms
    ]
    rows += [(missing, "fails", "", "", "There is no such VM.") for missing in found.missing]
    return table(("VM", "METHOD", "GUARANTEES", "GROUP", "NOTE"), rows)


def _which(policy: policy_pb2.Policy) -> str:
    selector = policy.selector
    metadata = "pool metadata" if policy.HasField("pool_metadata") else ""
    parts = [
        "all" if selector.all else "",
        "templates" if selector.templates else "",
        *selector.vms,
        *(f"tag:{tag}" for tag in selector.tags),
    ]
    parts += [f"not {vm}" for vm in selector.excluded_vms]
    pool = f" in {selector.pool}" if selector.pool else ""
    return ", ".join(filter(None, [*parts, metadata])) + pool


def _lines(policy: policy_pb2.Policy) -> list[tuple[str, str]]:
    delay = f" after {policy.retry.delay_duration.ToTimedelta()}" if policy.retry.retries else ""
    return [
        ("Policy", last_part(policy.name)),
        ("VMs", _which(policy)),
        ("Repository", policy.repository),
        ("Method", word(capture_pb2.Method, policy.method)),
        ("Groups", "all VMs" if policy.group else ", ".join(each.display_name for each in policy.groups)),
        ("Schedule", f"{policy.schedule or 'by hand'} {policy.time_zone}".strip()),
        ("Next run", "paused" if policy.paused else moment(policy.next_run_time)),
        ("Retries", f"{policy.retry.retries}{delay}"),
        ("At once", str(policy.limits.tasks_per_run or "")),
        ("Compression", word(capture_pb2.Compression, policy.options.compression)),
        ("Pool care", _care(policy.options.care)),
        ("Made", moment(policy.create_time)),
    ]


def _care(care: capture_pb2.CareOptions) -> str:
    waits = care.patience_duration.ToTimedelta() or "30 minutes"
    blocked = care.migration == capture_pb2.CareOptions.MIGRATION_BLOCK
    return f"waits {waits} for its pool at most, migrations are {'blocked' if blocked else 'followed'}"
