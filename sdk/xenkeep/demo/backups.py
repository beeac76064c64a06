"""Scenes 2 to 4: the pool is added, everything is backed up, the guests change, only that is read again."""

import asyncio

from xenkeep.cli.output import size
from xenkeep.cli.policy_file import Limits, PolicyFile
from xenkeep.common.v1 import capture_pb2
from xenkeep.demo import restores
from xenkeep.demo.guests import BLOCK_BYTES, change
from xenkeep.demo.pool import HOSTS
from xenkeep.demo.stage import POLICY, REPOSITORY, Stage, complaints, seconds_of
from xenkeep.scheduler.v1 import run_pb2

CHANGED_BLOCKS = 40


def add_pool(stage: Stage, password: str) -> None:
    """Pin the certificate of a supporter, follow it to the coordinator, list the VMs."""
    address = f"{HOSTS['host-2']}:{stage.https_port}"
    certificate = stage.client.pools.probe(address)
    stage.say(f"    {address} presents certificate SHA-256 {certificate.sha256[:16]}...")
    pool = stage.client.pools.add(address, "root", password, certificate.sha256)
    vms = {vm.display_name: vm for vm in stage.client.vms.list()}
    stage.check(len(pool.hosts) == len(HOSTS), f"pool {pool.display_name} has {len(HOSTS)} hosts")
    stage.check(set(vms) == {guest.name for guest in stage.guests}, f"VMs: {', '.join(sorted(vms))}")
    for guest in stage.guests:
        for disk, found in zip(guest.disks, vms[guest.name].disks, strict=True):
            disk.disk_id = found.disk_id
    stage.report.data["vms"] = len(vms)


def make_policy(stage: Stage, passphrase: str) -> None:
    """A repository in a directory, and a policy for all VMs."""
    made = stage.client.repositories.create(REPOSITORY, (stage.folder / "repository").as_uri(), passphrase)
    stage.check(bool(made.recovery_key), "the repository has a passphrase and a recovery key")
    policy = PolicyFile(
        name=POLICY, all=True, repository=REPOSITORY, schedule="0 22 * * *", limits=Limits(tasks_per_run=4)
    )
    stage.client.policies.create(policy.to_proto())


async def first_run(stage: Stage) -> None:
    """Everything, in parallel."""
    run = await stage.run()
    stage.check(
        run.state == run_pb2.Run.STATE_SUCCEEDED, f"the first run succeeded {complaints(run)}".strip()
    )
    points = [task.result.point for task in run.tasks]
    logical, read, stored = (
        sum(getattr(point, name) for point in points)
        for name in ("logical_bytes", "read_bytes", "stored_bytes")
    )
    stage.report.data["full"] = {
        "logical_bytes": logical,
        "read_bytes": read,
        "stored_bytes": stored,
        "seconds": round(seconds_of(run), 2),
    }
    stage.report.details["vms"] += [_figures(task) for task in run.tasks]
    stage.check(
        all(point.level == capture_pb2.LEVEL_FULL for point in points),
        "all points are full, each with its reason",
    )
    for task in run.tasks:
        rate = task.result.point.read_bytes / max(task.result.seconds, 0.001)
        stage.say(
            f"    {task.subject_display_name:<8} {size(task.result.point.read_bytes)} at {size(int(rate))}/s"
        )
    stage.say(
        f"    {size(logical)} of disks, {size(read)} read, {size(stored)} stored in {seconds_of(run):.1f} s"
    )


async def second_run(stage: Stage) -> None:
    """What the guests changed, and hardly more."""
    changed = await asyncio.to_thread(change_guests, stage)
    await restores.remember(stage)
    run = await stage.run()
    stage.report.details["vms"] += [_figures(task) for task in run.tasks]
    stage.check(
        run.state == run_pb2.Run.STATE_SUCCEEDED, f"the second run succeeded {complaints(run)}".strip()
    )
    points = [task.result.point for task in run.tasks]
    read = sum(point.read_bytes for point in points)
    amplification = round(read / changed, 3)
    stage.report.data["incremental"] = {
        "changed_bytes": changed,
        "read_bytes": read,
        "stored_bytes": sum(point.stored_bytes for point in points),
        "seconds": round(seconds_of(run), 2),
        "read_amplification": amplification,
    }
    stage.check(
        all(point.level == capture_pb2.LEVEL_INCREMENTAL for point in points), "all points are incremental"
    )
    stage.check(amplification <= 1.3, f"{size(changed)} changed, {size(read)} read: {amplification} times")


def change_guests(stage: Stage) -> int:
    """All guests overwrite scattered blocks and change files; returns how many bytes of blocks that were."""
    changed = 0
    for guest in stage.guests:
        for disk in guest.disks:
            writes = change(disk, CHANGED_BLOCKS, stage.rng)
            stage.control.write(disk, writes)
            changed += len(writes) * BLOCK_BYTES
    return changed


def _figures(task: run_pb2.Task) -> dict[str, object]:
    point = task.result.point
    return {
        "vm": task.subject_display_name,
        "read_bytes": point.read_bytes,
        "stored_bytes": point.stored_bytes,
        "logical_bytes": point.logical_bytes,
        "level": "full" if point.level == capture_pb2.LEVEL_FULL else "incremental",
        "seconds": round(task.result.seconds, 2),
        "mib_per_second": round(point.read_bytes / max(task.result.seconds, 0.001) / (1 << 20), 1),
    }
