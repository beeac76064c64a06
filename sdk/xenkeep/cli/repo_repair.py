"""``xenkeep repo repair``."""

from typing import Annotated, Any

import typer

from xenkeep.cli.following import follow_transfer
from xenkeep.cli.offline import S3Ca, S3CredentialsDir, s3_options, told_by_program, url_of
from xenkeep.cli.output import Json, as_data, console, details, last_part, show_data, size
from xenkeep.cli.secret_command import SecretCommand
from xenkeep.cli.session import SecretFile, client, secret
from xenkeep.errors import Error
from xenkeep.mover.v1 import transfer_pb2

Copy = Annotated[
    str | None, typer.Option(help="Take what is damaged from this copy: directory, or URL (file:, s3:).")
]


def repair(name: str, copy: Copy = None, json_: Json = False) -> None:
    """Save what still decodes of damaged packs, and name what is left for the next backup to heal.

    Decodes everything, makes the index again if it is damaged, takes what it can from a copy if you name one,
    prunes, and looks again. Exit code 12 when something is still damaged.
    """
    with client() as xenkeep:
        found = follow_transfer(xenkeep, xenkeep.repositories.verify(name, full=True).name, json_=json_)
        if _lacks_index(found.result):
            follow_transfer(xenkeep, xenkeep.repositories.rebuild(name).name, json_=json_)
        healed = transfer_pb2.Transfer()
        if copy is not None:
            started = xenkeep.repositories.heal(name, url_of(copy))
            healed = follow_transfer(xenkeep, started.name, json_=json_)
        pruned = follow_transfer(xenkeep, xenkeep.repositories.prune(name).name, json_=json_)
        left = follow_transfer(xenkeep, xenkeep.repositories.verify(name, full=False).name, json_=json_)
    if json_:
        steps = {"found": found, "healed": healed, "pruned": pruned, "left": left}
        show_data({step: as_data(transfer) for step, transfer in steps.items() if transfer.name})
    else:
        console.print(details(_lines(found.result, healed.result, pruned.result, left.result)))
    if left.result.damages:
        raise Error(
            "DataLoss",
            "DAMAGE_LEFT",
            f"{len(_points(left.result))} restore points in {name} are still damaged.",
            "Back their VMs up: damaged ranges are read again, which heals these points too where the VM has"
            " that content still. Then repair again. Points that cannot be healed: xenkeep point delete.",
        )


def _lacks_index(found: transfer_pb2.TransferResult) -> bool:
    lost = any(notice.code == "PACKS_NOT_LISTED" for notice in found.notices)
    return lost or any(damage.object.startswith("index/") for damage in found.damages)


def repair_header(
    where: Annotated[str, typer.Argument(help="Directory, or URL (file:///..., s3://...).")],
    secret_file: SecretFile = None,
    secret_command: SecretCommand = None,
    s3_credentials_dir: S3CredentialsDir = None,
    s3_ca: S3Ca = None,
    json_: Json = False,
) -> None:
    """Write a lost or damaged header again: each key slot has a copy. No service is asked.

    Exit code 2 when the header is in order.
    """
    key = secret(secret_file, "--secret-file", "Passphrase or recovery key", command=secret_command)
    wanted = [url_of(where), "--repair-header", *s3_options(s3_credentials_dir, s3_ca)]
    answer: dict[str, Any] = {}
    for answer in told_by_program(wanted, key):  # noqa: B007 - the last one is wanted
        pass
    if json_:
        show_data(answer)
    else:
        console.print(f"Written: {answer['repaired']}.")


def _lines(
    found: transfer_pb2.TransferResult,
    healed: transfer_pb2.TransferResult,
    pruned: transfer_pb2.TransferResult,
    left: transfer_pb2.TransferResult,
) -> list[tuple[str, str]]:
    lines = [
        ("Found", f"{len(found.damages)} damaged objects, {len(_points(found))} damaged restore points"),
        *_from_copy(healed),
        ("Saved", f"{size(pruned.prune.stored_bytes) or '0 B'} stored again"),
        ("Left", f"{len(left.damages)} damaged objects" if left.damages else "no damage"),
    ]
    lines += [("", f"Restore point {last_part(point)}") for point in _points(left)]
    return [*lines, *[("Notice", notice.message) for notice in pruned.notices]]


def _from_copy(healed: transfer_pb2.TransferResult) -> list[tuple[str, str]]:
    if not healed.HasField("heal"):
        return []
    text = f"{size(healed.heal.stored_bytes) or '0 B'} stored again"
    if healed.heal.left_blob_count:
        text += f"; {healed.heal.left_blob_count} pieces are damaged there as well"
    return [("From the copy", text), *[("Notice", notice.message) for notice in healed.notices]]


def _points(result: transfer_pb2.TransferResult) -> list[str]:
    return sorted({point for damage in result.damages for point in damage.point_ids})
