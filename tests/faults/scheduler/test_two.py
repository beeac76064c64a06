"""The scheduler started twice on one store: one firing, one run, one transfer per VM."""

from datetime import UTC, datetime
from pathlib import Path

from tests.faults.scheduler.test_kill import VMS, check_one_good_night, make_due_policy
from tests.integration.scheduler.stack import ServiceProcess, scheduler_stack
from tests.support.nats import NatsServer


async def test_two_schedulers_on_one_store_do_everything_once(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    since = datetime.now(UTC)
    async with scheduler_stack(nats_server, tmp_path, *VMS, start=False) as stack:
        await make_due_policy(stack)
        twin = ServiceProcess("scheduler", tmp_path, nats_server, {})
        twin.env = stack.scheduler.env | {"XENKEEP_LISTEN": twin.address}
        await stack.scheduler.start()
        await twin.start()
        try:
            await check_one_good_night(stack, since)
        finally:
            await twin.end()
