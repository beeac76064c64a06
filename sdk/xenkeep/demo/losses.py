"""Scene 7: the catalog is lost and made again; the repository is damaged and says so."""

import asyncio
from pathlib import Path

from xenkeep.demo.stage import REPOSITORY, Stage
from xenkeep.errors import Error
from xenkeep.hypervisor.v1 import restore_target_pb2
from xenkeep.mover.v1 import transfer_pb2
from xenkeep.scheduler.v1 import run_pb2

REBUILD_SECONDS = 60.0


async def lose_catalog(stage: Stage) -> None:
    """Delete the catalog's database under it; it makes itself again from the repository."""
    before = {point.name for point in stage.client.restore_points.list()}
    folder = stage.client.home.path / "catalog"

    def delete() -> None:
        for file in folder.glob("*.sqlite*"):
            file.unlink()

    stage.supervisor.interrupt("catalog", delete)
    await asyncio.to_thread(stage.client.wait_until_serving, "catalog", REBUILD_SECONDS)
    await asyncio.to_thread(stage.client.restore_points.sync)
    after = {point.name for point in stage.client.restore_points.list()}
    stage.check(before == after, f"the catalog was rebuilt: {len(before)} points before, {len(after)} after")
    stage.report.data["rebuild"] = {"points_before": len(before), "points_after": len(after)}


async def damage_repository(stage: Stage) -> None:
    """Flip one bit of one pack; verification names the points it costs, and restoring one is refused."""
    pack = max((stage.folder / "repository" / "packs" / "data").rglob("*"), key=_size_if_file)
    _flip_a_bit(pack)
    started = stage.client.repositories.verify(REPOSITORY, full=True)
    transfer = await asyncio.to_thread(stage.client.transfers.wait, started.name)
    named = {point for damage in transfer.result.damages for point in damage.point_ids}
    found = transfer.state == transfer_pb2.Transfer.STATE_SUCCEEDED and any(
        pack.name in damage.object for damage in transfer.result.damages
    )
    stage.check(
        found and bool(named), f"repo verify found the flipped bit and named {len(named)} damaged points"
    )
    refused, reason = await asyncio.to_thread(_restore_is_refused, stage, min(named, default=""))
    stage.check(refused, f"restoring one is refused: {reason}")
    stage.report.data["damage"] = {"found": found, "restore_refused": refused}


def _restore_is_refused(stage: Stage, point: str) -> tuple[bool, str]:
    placement = restore_target_pb2.Placement(mode=restore_target_pb2.Placement.MODE_NEW_VM)
    try:
        run = stage.client.runs.wait(stage.client.runs.restore(f"restorePoints/{point}", placement).name)
    except Error as error:
        return error.kind in ("FailedPrecondition", "DataLoss"), error.message
    failure = run.tasks[0].failure if run.tasks else run.failure
    return run.state == run_pb2.Run.STATE_FAILED and failure.kind == "DataLoss", failure.message


def _size_if_file(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _flip_a_bit(path: Path) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
