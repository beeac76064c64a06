"""Events: tokens, waiting, and the old way of asking."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import XenAPI

from tests.conformance.report import Tally

OtherSession = Callable[[], AbstractContextManager[Any]]


def check(tally: Tally, session: Any, other: OtherSession) -> None:
    api = session.xenapi
    (vm,) = api.VM.get_by_name_label("web")
    with tally.check("event.from '' tells of every object, with its record"):
        batch = from_(session, ["vm"], "")
        adds = {event["ref"]: event["snapshot"] for event in batch["events"] if event["operation"] == "add"}
        assert adds == api.VM.get_all_records()
        assert batch["valid_ref_counts"]["vm"] == len(adds)
    with tally.check("event.from a token tells only what changed since"):
        api.VM.set_name_description(vm, "changed")
        token = batch["token"]
        batch = from_(session, ["vm"], token)
        assert [(event["class"], event["operation"], event["ref"]) for event in batch["events"]] == [
            ("vm", "mod", vm)
        ]
        assert batch["events"][0]["snapshot"]["name_description"] == "changed"
    with tally.check("setting what is set already is no event"):
        api.VM.set_name_description(vm, "changed")
        assert from_(session, ["vm"], batch["token"], 0.0)["events"] == []
    with tally.check("an add and a del between two tokens are nothing"):
        api.secret.destroy(api.secret.create({"value": "x", "other_config": {}}))
        assert from_(session, ["secret"], from_(session, ["secret"], "", 0.0)["token"], 0.0)["events"] == []
    with tally.check("a del names what is gone, without a record"):
        secret = api.secret.create({"value": "x", "other_config": {}})
        token = from_(session, ["secret"], "")["token"]
        api.secret.destroy(secret)
        (event,) = from_(session, ["secret"], token)["events"]
        assert (event["operation"], event["ref"], "snapshot" in event) == ("del", secret, False)
    with tally.check("one object can be watched alone, classes in any case, all with *"):
        (event,) = from_(session, [f"VM/{vm}"], "")["events"]
        assert event["ref"] == vm
        assert from_(session, ["Vm"], "")["events"]
        classes = {event["class"] for event in from_(session, ["*"], "")["events"]}
        assert {"vm", "host", "pool", "sr", "vdi"} <= classes
    with tally.check("without a change it waits as long as it was told"):
        token = from_(session, ["SM"], "")["token"]
        begin = time.monotonic()
        assert from_(session, ["SM"], token, 1.0)["events"] == []
        assert 0.9 <= time.monotonic() - begin < 5
    with tally.check("a change wakes it up"), other() as second:
        token = from_(session, ["vm"], "")["token"]
        found: list[Any] = []
        waiting = threading.Thread(target=lambda: found.append(from_(second, ["vm"], token, 20.0)))
        waiting.start()
        begin = time.monotonic()
        api.VM.set_name_description(vm, "woken")
        waiting.join()
        assert found[0]["events"]
        assert time.monotonic() - begin < 2
    with tally.check("event.inject: its token is answered at once"):
        token = api.event.inject("pool", api.pool.get_all()[0])
        assert [event["class"] for event in from_(session, ["pool"], token)["events"]] == ["pool"]
    with tally.check("a token that is none is refused"):
        assert _refused(lambda: from_(session, ["vm"], "nonsense"))[0] == "EVENT_FROM_TOKEN_PARSE_FAILURE"
    _check_registration(tally, session, vm)


def _check_registration(tally: Tally, session: Any, vm: str) -> None:
    api = session.xenapi
    with tally.check("event.next wants a registration"):
        assert _refused(api.event.next)[0] == "SESSION_NOT_REGISTERED"
    with tally.check("event.register, next, unregister tell every change"):
        api.event.register(["vm"])
        api.VM.set_name_description(vm, "first")
        api.VM.set_name_description(vm, "second")
        told: list[str] = []
        while "second" not in told:
            told += [event["snapshot"]["name_description"] for event in api.event.next()]
        assert told == ["first", "second"]
        api.event.unregister(["vm"])
    with tally.check("event.get_current_id is a number"):
        assert int(api.event.get_current_id()) >= 0


def from_(session: Any, classes: list[str], token: str, timeout: float = 10.0) -> dict[str, Any]:
    return dict(session.xenapi.event_from(classes, token, timeout))


def _refused(call: Callable[[], Any]) -> list[str]:
    try:
        result = call()
    except XenAPI.Failure as failure:
        return list(failure.details)
    raise AssertionError(f"answered with {result!r}")
