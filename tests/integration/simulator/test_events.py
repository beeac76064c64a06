"""event.from and its kin, through the SDK."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from services.simulator.pool import registrations
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import Sdk, describe, running
from tests.support.waiting import PATIENCE_S


async def made(sdk: Sdk, name: str = "n") -> str:
    """A network: an object without side effects."""
    record = {"name_label": name, "name_description": "", "MTU": "1500", "other_config": {}, "tags": []}
    return str(await sdk.call("network.create", record | {"bridge": "", "managed": True}))


async def events(sdk: Sdk, classes: list[str], token: str, timeout: float = 0.0) -> tuple[list[Any], str]:
    batch = await sdk.call("event.from", classes, token, timeout)
    return [(event["operation"], event["class"], event["ref"]) for event in batch["events"]], batch["token"]


async def now(sdk: Sdk, classes: list[str]) -> str:
    return (await events(sdk, classes, ""))[1]


async def test_an_object_has_one_event_for_all_that_befell_it(sdk: Sdk) -> None:
    kept = await made(sdk)
    token = await now(sdk, ["network"])
    new, gone = await made(sdk), await made(sdk)
    await sdk.call("network.set_name_label", new, "renamed")
    await sdk.call("network.set_name_label", kept, "renamed")
    await sdk.call("network.destroy", gone)
    assert (await events(sdk, ["network"], token))[0] == [("add", "network", new), ("mod", "network", kept)]
    await sdk.call("network.destroy", kept)
    found, token = await events(sdk, ["Network"], token)
    assert found == [("add", "network", new), ("del", "network", kept)]


async def test_a_write_of_what_is_there_is_no_event(sdk: Sdk) -> None:
    network = await made(sdk)
    token = await now(sdk, ["network"])
    await sdk.call("network.set_name_label", network, "n")
    await sdk.call("network.remove_from_other_config", network, "missing")
    assert await events(sdk, ["network"], token) == ([], token)


async def test_one_object_can_be_followed(sdk: Sdk) -> None:
    first, second = await made(sdk), await made(sdk)
    token = await now(sdk, ["network"])
    await sdk.call("network.set_name_label", second, "x")
    await sdk.call("network.set_name_label", first, "x")
    assert (await events(sdk, [f"network/{first}"], token))[0] == [("mod", "network", first)]


async def test_a_blocked_call_is_woken_by_its_class_alone(simulation: Simulation, sdk: Sdk) -> None:
    watcher = await Sdk(simulation).log_in()
    network = await made(sdk)
    token = await now(sdk, ["network"])
    waiting = asyncio.create_task(events(watcher, ["network"], token, 20.0))
    await sdk.call("pool.get_all")
    await sdk.call("task.create", "of no interest", "")
    assert not waiting.done()
    await sdk.call("network.set_name_label", network, "woken")
    async with asyncio.timeout(PATIENCE_S):
        assert (await waiting)[0] == [("mod", "network", network)]
    watcher.close()


async def test_a_logout_ends_a_blocked_call(simulation: Simulation, sdk: Sdk) -> None:
    handle = sdk.session.handle
    other = await Sdk(simulation).log_in()
    token = await now(sdk, ["network"])
    waiting = asyncio.create_task(asyncio.to_thread(raw_event_from, sdk, handle, token))
    simulation.pool.sessions.end(handle)
    async with asyncio.timeout(PATIENCE_S):
        assert (await waiting)["ErrorDescription"] == ["SESSION_INVALID", handle]
    other.close()


def raw_event_from(sdk: Sdk, session: str, token: str) -> Any:
    return getattr(sdk.session, "event.from")(session, ["network"], token, 20.0)


async def test_tokens_of_other_forms_are_refused(sdk: Sdk) -> None:
    for token in ("abc", ",", "5", "1,2,3", " 1,2", "99999999999999999999,0"):
        answer = await sdk.refused("event.from", ["pool"], token, 0.0)
        assert answer == ["EVENT_FROM_TOKEN_PARSE_FAILURE", token]


async def test_injection_makes_an_event_after_the_token_it_returns(sdk: Sdk) -> None:
    (pool,) = await sdk.call("pool.get_all")
    token = await sdk.call("event.inject", "pool", pool)
    assert (await events(sdk, ["pool"], token))[0] == [("mod", "pool", pool)]
    assert await sdk.refused("event.inject", "Pool", pool) == ["HANDLE_INVALID", "Pool", pool]


async def test_messages_have_their_own_half_of_the_token(sdk: Sdk) -> None:
    ref = await sdk.call("message.create", "ALERT", "3", "VM", "", "body")
    found, token = await events(sdk, ["message"], "")
    assert found == [("add", "message", ref)]
    assert token.startswith("00000000000000000000,")
    assert (await events(sdk, ["message", "network"], token))[0][0][1] == "network"
    counts = (await sdk.call("event.from", ["message"], "", 0.0))["valid_ref_counts"]
    assert (counts["message"], counts["pool"], len(counts)) == (0, 1, 67)


async def test_many_deletions_are_forgotten_in_part(simulation: Simulation, sdk: Sdk) -> None:
    db = simulation.pool.db
    refs = [simulation.pool.create("secret") for _ in range(700)]
    token = await now(sdk, ["secret"])
    for ref in refs:
        db.delete("secret", ref)
    found, _ = await events(sdk, ["secret"], token)
    assert 256 <= len(found) <= 512


async def test_the_old_way_tells_every_change_in_order(sdk: Sdk) -> None:
    assert (await sdk.refused("event.next"))[0] == "SESSION_NOT_REGISTERED"
    await sdk.call("event.register", ["network"])
    network = await made(sdk)
    await sdk.call("network.set_name_label", network, "x")
    await sdk.call("network.destroy", network)
    told = await sdk.call("event.next")
    assert [event["operation"] for event in told] == ["add", "mod", "del"]
    assert [event["id"] for event in told] == ["0", "1", "2"]


async def test_the_old_way_says_when_more_was_left_unread_than_is_kept(
    sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registrations, "QUEUE_LIMIT", 3)
    await sdk.call("event.register", ["network"])
    for number in range(4):
        last = await made(sdk, f"n{number}")
    assert await sdk.refused("event.next") == ["EVENTS_LOST"]
    told = [(event["operation"], event["ref"]) for event in await sdk.call("event.next")]
    assert told == [("add", last)]


async def test_thousands_of_vms_are_told_quickly(tmp_path: Path) -> None:
    async with running(describe(tmp_path / "pool")) as simulation:
        vm = next(row for row in simulation.pool.db.rows("VM") if row["name_label"] == "web")
        values = {name: value for name, value in vm.items() if name not in ("uuid", "VBDs", "VIFs")}
        for number in range(3000):
            simulation.pool.create("VM", **values | {"name_label": f"vm-{number}"})
        sdk = await Sdk(simulation).log_in()
        token = (await sdk.call("event.from", ["vm"], "", 1.0))["token"]
        started = time.monotonic()
        await sdk.call("VM.get_all_records")
        cached = time.monotonic() - started
        await sdk.call("VM.set_name_description", vm.ref, "changed")
        started = time.monotonic()
        found, _ = await events(sdk, ["vm"], token)
        incremental = time.monotonic() - started
        assert len(found) == 1
        assert incremental < 1.0
        print(f"3000 records {cached:.2f} s with the client's parsing, one event {incremental * 1000:.1f} ms")
        sdk.close()


async def test_what_a_pool_keeps_outside_of_its_database_is_not_counted(sdk: Sdk) -> None:
    """The numbers of the recording ``e_events``."""
    (pool,) = (await sdk.call("pool.get_all_records")).values()
    await sdk.call("message.create", "m", "3", "pool", pool["uuid"], "")
    counts = (await sdk.call("event.from", ["pool"], "", 0.0))["valid_ref_counts"]
    assert {name: counts[name] for name in ("message", "role", "user", "event", "diagnostics")} == {
        "message": 0,
        "role": 0,
        "user": 1,
        "event": 0,
        "diagnostics": 0,
    }
    assert counts["session"] == 1
