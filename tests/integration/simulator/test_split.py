"""Two coordinators at once: what each answers, who follows whom, and how it ends."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.simulator.failure import XapiFailure
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import PASSWORD, Sdk, refusal
from tests.support.silence import needs_silence
from tests.support.waiting import until_true

FIRST, SECOND, THIRD = "127.0.0.11", "127.0.0.12", "127.0.0.13"


@pytest.fixture
async def old(three_hosts: Simulation) -> AsyncIterator[Sdk]:
    """Logged in at the first host, before anything happens."""
    sdk = await Sdk(three_hosts, 1).log_in()
    yield sdk
    sdk.close()


async def split(simulation: Simulation, *stay: str) -> None:
    """The third host takes the place of the first, which leads on."""
    pool = simulation.pool
    await pool.failures.split(pool.host_named("host-3"), [pool.host_named(name) for name in stay])


async def master(sdk: Sdk) -> Any:
    (pool,) = (await sdk.call("pool.get_all_records")).values()
    return await sdk.call("host.get_address", pool["master"])


async def test_both_lead_and_what_is_written_to_one_is_not_seen_on_the_other(
    three_hosts: Simulation, old: Sdk
) -> None:
    (web,) = await old.call("VM.get_by_name_label", "web")
    token = (await old.call("event.from", ["VM"], "", 0.0))["token"]
    session = old.session.handle
    await split(three_hosts)
    new = await Sdk(three_hosts, 3).log_in()

    assert (FIRST, THIRD) == (await master(old), await master(new))
    assert session == old.session.handle, "the former coordinator's sessions stay good"
    assert ["HOST_IS_SLAVE", THIRD] == await refusal(three_hosts, 2)
    await old.call("VM.set_name_description", web, "written to the former")
    await new.call("VM.set_name_label", web, "written to the new one")
    told = await old.call("event.from", ["VM"], token, 5.0)
    (event,) = [event for event in told["events"] if event["ref"] == web]
    assert ("web", "written to the former") == (
        event["snapshot"]["name_label"],
        event["snapshot"]["name_description"],
    )
    assert "" == await new.call("VM.get_name_description", web)
    assert ["web"] == [
        vm["name_label"] for ref, vm in (await old.call("VM.get_all_records")).items() if ref == web
    ]
    names = [
        {message["name"] for message in (await sdk.call("message.get_all_records")).values()}
        for sdk in (old, new)
    ]
    assert ["POOL_MASTER_TRANSITION" in each for each in names] == [False, True]
    new.close()


async def test_snapshots_of_one_are_in_the_storage_and_unknown_to_the_other(
    three_hosts: Simulation, old: Sdk
) -> None:
    await split(three_hosts)
    new = await Sdk(three_hosts, 3).log_in()
    (web,) = await new.call("VM.get_by_name_label", "web")
    made = await new.call("VM.snapshot", web, "of the new one")
    assert await old.refused("VM.get_name_label", made) == ["HANDLE_INVALID", "VM", made]
    vbds = [await new.call("VBD.get_record", ref) for ref in await new.call("VM.get_VBDs", made)]
    vdi = await new.call("VDI.get_record", vbds[0]["VDI"])
    assert await old.refused("VDI.get_by_uuid", vdi["uuid"]) == ["UUID_INVALID", "VDI", vdi["uuid"]]
    await old.run("SR.scan", (await old.call("VDI.get_all_records_where", "true")).popitem()[1]["SR"])
    assert await old.call("VDI.get_by_uuid", vdi["uuid"])
    new.close()


async def test_each_believes_after_a_time_that_those_who_follow_the_other_are_dead(
    three_hosts: Simulation, old: Sdk
) -> None:
    await split(three_hosts, "host-2")
    assert ["HOST_IS_SLAVE", FIRST] == await refusal(three_hosts, 2)
    new = await Sdk(three_hosts, 3).log_in()
    pool = three_hosts.pool
    assert pool.rival is not None

    def live() -> list[list[bool]]:
        return [
            [each.db.row("host_metrics", row["metrics"])["live"] for row in each.db.rows("host")]
            for each in (pool.rival or pool, pool)
        ]

    await until_true(lambda: sorted(map(sum, live())) == [1, 2])
    metrics = [
        {row["live"] for row in (await sdk.call("host_metrics.get_all_records")).values()}
        for sdk in (old, new)
    ]
    assert [{True, False}, {True, False}] == metrics
    (web,) = await old.call("VM.get_by_name_label", "web")
    assert (await old.refused("VM.hard_shutdown", web))[0] == "CANNOT_CONTACT_HOST"
    new.close()


async def test_a_former_coordinator_whose_toolstack_restarts_finds_the_new_one_and_follows_it(
    three_hosts: Simulation, old: Sdk
) -> None:
    await split(three_hosts)
    (web,) = await old.call("VM.get_by_name_label", "web")
    await old.call("VM.set_name_description", web, "thrown away")
    await three_hosts.pool.failures.restart_toolstack(three_hosts.pool.host_named("host-1"))
    assert ["HOST_IS_SLAVE", THIRD] == await refusal(three_hosts, 1)
    assert three_hosts.pool.rival is None
    new = await Sdk(three_hosts, 3).log_in()
    assert "" == await new.call("VM.get_name_description", web)
    assert {True} == {row["live"] for row in (await new.call("host_metrics.get_all_records")).values()}
    new.close()


async def test_recovering_supporters_takes_the_former_coordinator_and_its_half_along(
    three_hosts: Simulation, old: Sdk
) -> None:
    await split(three_hosts, "host-2")
    assert ["NOT_IMPLEMENTED", "pool.recover_slaves"] == await old.refused("pool.recover_slaves")
    new = await Sdk(three_hosts, 3).log_in()
    found = {await new.call("host.get_address", ref) for ref in await new.call("pool.recover_slaves")}
    assert {FIRST, SECOND} == found
    assert [["HOST_IS_SLAVE", THIRD]] * 2 == [await refusal(three_hosts, host) for host in (1, 2)]
    new.close()


async def test_hosts_follow_whom_they_are_told_to(three_hosts: Simulation) -> None:
    await split(three_hosts)
    second, first = Sdk(three_hosts, 2), Sdk(three_hosts, 1)
    for sdk, address in ((second, FIRST), (first, THIRD)):
        await asyncio.to_thread(sdk.session.slave_local_login_with_password, "root", PASSWORD)
        await sdk.call("pool.emergency_reset_master", address)
        await three_hosts.pool.settled()
        sdk.close()
        if sdk is second:
            assert ["HOST_IS_SLAVE", FIRST] == await refusal(three_hosts, 2)
    assert ["HOST_IS_SLAVE", THIRD] == await refusal(three_hosts, 1)
    assert "HOST_STILL_BOOTING" == (await refusal(three_hosts, 2))[0], "nobody told it that the first gave up"


async def test_a_former_coordinator_that_is_removed_leads_on_until_it_learns_that_it_is_unknown(
    three_hosts: Simulation, old: Sdk
) -> None:
    await split(three_hosts)
    new = await Sdk(three_hosts, 3).log_in()
    host = three_hosts.pool.host_named("host-1")
    await new.call("host.destroy", host.ref)
    assert FIRST == await master(old)
    await three_hosts.pool.failures.restart_toolstack(host)
    assert ["HOST_UNKNOWN_TO_MASTER", host.ref] == await refusal(three_hosts, 1)
    new.close()


async def test_a_former_coordinator_that_loses_its_power_boots_as_a_supporter(
    three_hosts: Simulation, old: Sdk
) -> None:
    await split(three_hosts, "host-2")
    host = three_hosts.pool.host_named("host-1")
    await three_hosts.pool.failures.kill(host)
    assert "HOST_STILL_BOOTING" == (await refusal(three_hosts, 2))[0]
    await three_hosts.pool.failures.revive(host)
    assert ["HOST_IS_SLAVE", THIRD] == await refusal(three_hosts, 1)
    await three_hosts.pool.failures.recover_supporters()
    assert ["HOST_IS_SLAVE", THIRD] == await refusal(three_hosts, 2)


@needs_silence
async def test_a_former_coordinator_that_is_heard_again_gets_back_those_who_were_not_told_of_another(
    three_hosts: Simulation, old: Sdk
) -> None:
    first, second, third = three_hosts.pool.hosts.values()
    failures = three_hosts.pool.failures
    await failures.fall_silent(first, to_its_pool=True)
    await failures.seize(third)
    assert "HOST_STILL_BOOTING" == (await refusal(three_hosts, 2))[0]
    await failures.hear(first)
    assert [[], ["HOST_IS_SLAVE", FIRST], []] == [await refusal(three_hosts, host) for host in (1, 2, 3)]
    assert {first.ref, second.ref} == set(await failures.recover_supporters())
    assert [["HOST_IS_SLAVE", THIRD]] * 2 == [await refusal(three_hosts, host) for host in (1, 2)]


async def test_a_pool_with_high_availability_is_not_split(three_hosts: Simulation, old: Sdk) -> None:
    await old.call("pool.enable_ha", [], {})
    with pytest.raises(XapiFailure, match="HA_IS_ENABLED"):
        await split(three_hosts)
    await old.call("pool.disable_ha")
    await split(three_hosts)
    with pytest.raises(XapiFailure, match="OPERATION_NOT_ALLOWED"):
        await split(three_hosts)
