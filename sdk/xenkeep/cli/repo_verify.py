"""``xenkeep repo verify``."""

import math
import re
from typing import Annotated

import typer

from xenkeep.cli.following import follow_transfer
from xenkeep.cli.output import Json, details, show, size
from xenkeep.cli.session import client
from xenkeep.errors import Error
from xenkeep.mover.v1 import transfer_pb2


def _share(text: str) -> float:
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,3})?)%", text)
    if match is None or not 0 < float(match[1]) <= 100:
        raise typer.BadParameter("Give a percentage, such as 10% or 2.5%.")
    return float(match[1]) / 100


def verify(
    name: str,
    scrub: Annotated[
        bool, typer.Option(help="Only compare objects with their names; fast, needs no key.")
    ] = False,
    sample: Annotated[
        float | None,
        typer.Option(
            parser=_share,
            metavar="PERCENT",
            help="Read this share of the packs, such as 10%; the next sample goes on where this one ends.",
        ),
    ] = None,
    packs: Annotated[
        int | None, typer.Option(min=1, help="Read at most so many packs; with or without --sample.")
    ] = None,
    json_: Json = False,
) -> None:
    """Check all a repository holds, or a sample; name damaged objects and restore points.

    Exit code 12 on damage. Samples of 10% have read everything after ten of them.
    """
    with client() as xenkeep:
        started = xenkeep.repositories.verify(name, full=not scrub, share=sample or 0.0, packs=packs or 0)
        transfer = follow_transfer(xenkeep, started.name, json_=json_)
    show(transfer, lambda: details(_verdict(transfer.result)), json_=json_)
    if transfer.result.damages:
        raise Error(
            "DataLoss",
            "DAMAGE_FOUND",
            f"{len(transfer.result.damages)} damaged objects were found in {name}.",
            "The points named cannot be restored completely; the next backup reads what it needs again.",
        )


def _verdict(result: transfer_pb2.TransferResult) -> list[tuple[str, str]]:
    lines = [("Checked", f"{result.checked_objects} objects, {size(result.checked_bytes) or '0 B'}")]
    if result.HasField("sample"):
        lines.append(("Sample", _covered(result.sample)))
    for damage in result.damages:
        points = ", ".join(point[:8] for point in damage.point_ids) or "none"
        lines.append(("Damaged", f"{damage.object}: {damage.message} Restore points: {points}."))
    lines += [("Notice", notice.message) for notice in result.notices]
    return lines if result.damages else [*lines, ("Result", "no damage")]


def _covered(sample: transfer_pb2.SampleResult) -> str:
    packs = f"{sample.checked_pack_count} of {sample.pack_count} packs"
    if not sample.checked_pack_count:
        return packs
    runs = math.ceil(sample.pack_count / sample.checked_pack_count)
    share = sample.checked_bytes / max(sample.pack_bytes, 1)
    return f"{packs}, {share:.1%} of the bytes; {runs} such samples read everything"
