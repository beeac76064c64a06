"""Scene 5: a host dies in the middle of a run, the coordinator in the middle of another."""

import asyncio

from xenkeep.cli.output import size
from xenkeep.demo.backups import change_guests
from xenkeep.demo.stage import Stage, complaints
from xenkeep.scheduler.v1 import run_pb2

LINK_BYTES_PER_SECOND = 10 << 20
"""Per host while a failure is awaited, so that there is a middle of the run on any machine."""


async def host_dies(stage: Stage) -> None:
    """A supporter that carries a VM loses power; its VM fails over, the backup goes on elsewhere."""
    victim = next(host for host in stage.control.hosts() if host.vm_ids and not host.coordinator)
    run = await _run_with_death(stage, victim.host_id, victim.display_name)
    notices = [
        notice.message
        for task in run.tasks
        for notice in task.result.notices
        if not notice.code.startswith("FULL_")
    ]
    resumed = max((task.result.resumed_from_bytes for task in run.tasks), default=0)
    survived = run.state == run_pb2.Run.STATE_SUCCEEDED and bool(notices)
    stage.check(survived, f"the run survived the death of {victim.display_name} {complaints(run)}".strip())
    stage.check(resumed > 0, f"it went on at {size(resumed)} instead of starting again")
    for notice in dict.fromkeys(notices):
        stage.say(f"    it says: {notice}")
    carried = {guest.name for guest in stage.guests if guest.host == victim.display_name}
    moved = {vm.display_name for vm in stage.client.vms.list() if vm.host_id not in ("", victim.host_id)}
    stage.check(carried <= moved, f"{', '.join(sorted(carried))} failed over to another host")
    stage.control.revive(victim.host_id)
    stage.report.data["host_failure"] = {"survived": survived, "resumed_from_bytes": resumed}
    stage.report.details["notices"] += notices


async def coordinator_dies(stage: Stage) -> None:
    """The coordinator loses power; the pool elects another one, and we find it."""
    victim = stage.control.coordinator()
    run = await _run_with_death(stage, victim.host_id, victim.display_name)
    leader = next(iter(stage.client.pools.list())).coordinator
    survived = run.state == run_pb2.Run.STATE_SUCCEEDED and leader != victim.host_id
    stage.check(survived, f"the run survived the death of the coordinator {complaints(run)}".strip())
    stage.control.revive(victim.host_id)
    stage.report.data["coordinator_failure"] = {"survived": survived}


async def _run_with_death(stage: Stage, host: str, name: str) -> run_pb2.Run:
    await asyncio.to_thread(change_guests, stage)
    third = stage.report.data["full"]["read_bytes"] // 3

    def die() -> None:
        stage.say(f"    {name} loses power in the middle of the run")
        stage.control.kill(host)
        stage.control.limit(0)

    stage.control.limit(LINK_BYTES_PER_SECOND)
    return await stage.run(full=True, at_bytes=third, then=die)
