"""Tasks: what an asynchronous call leaves, and what a client may do with a task of its own."""

from __future__ import annotations

import xmlrpc.client
from typing import Any

from tests.conformance.report import Tally


def check(tally: Tally, session: Any) -> None:
    api = session.xenapi
    (vm,) = api.VM.get_by_name_label("db")
    with tally.check("Async.VM.snapshot: the task's result is the new VM's reference"):
        record = ended(session, api.Async.VM.snapshot(vm, "by task"))
        assert (record["status"], record["progress"], record["error_info"]) == ("success", 1.0, [])
        (snapshot,) = _value(record["result"])
        assert api.VM.get_snapshot_of(snapshot) == vm
    with tally.check("Async.VM.destroy: a void result is an empty value"):
        disks = [api.VBD.get_VDI(vbd) for vbd in api.VM.get_VBDs(snapshot) if not api.VBD.get_empty(vbd)]
        assert ended(session, api.Async.VM.destroy(snapshot))["result"] == "<value></value>"
        for disk in disks:
            assert ended(session, api.Async.VDI.destroy(disk))["status"] == "success"
    with tally.check("a failed task carries the error and its parameters"):
        record = ended(session, api.Async.VM.hard_shutdown(vm))
        assert record["status"] == "failure"
        assert record["error_info"] == ["VM_BAD_POWER_STATE", vm, "paused, suspended, running", "halted"]
    with tally.check("a finished task says when, and cannot be cancelled any more"):
        assert str(record["finished"]) >= str(record["created"]) > "20200101"
        assert record["allowed_operations"] == []
    with tally.check("a client drives a task of its own"):
        task = api.task.create("by hand", "a description")
        assert api.task.get_status(task) == "pending"
        assert str(api.task.get_finished(task)) == "19700101T00:00:00Z"
        if "task.set_progress" in session.system.listMethods():  # since 8.2
            api.task.set_progress(task, 0.5)
            assert api.task.get_progress(task) == 0.5
        api.task.add_to_other_config(task, "key", "value")
        api.task.set_status(task, "success")
        assert api.task.get_record(task)["status"] == "success"
        api.task.destroy(task)
        assert task not in api.task.get_all()
    with tally.check("tasks go by the name of the call"):
        task = api.Async.VM.hard_shutdown(vm)
        assert api.task.get_name_label(task) == "Async.VM.hard_shutdown"
        ended(session, task)


def ended(session: Any, task: str) -> dict[str, Any]:
    """The record of a task that has ended, and is destroyed; waits by events."""
    token = ""
    while True:
        batch = session.xenapi.event_from([f"task/{task}"], token, 30.0)
        token = batch["token"]
        for event in batch["events"]:
            if event["operation"] != "del" and event["snapshot"]["status"] != "pending":
                session.xenapi.task.destroy(task)
                return dict(event["snapshot"])


def _value(text: str) -> Any:
    whole = f"<params><param>{text}</param></params>"
    return xmlrpc.client.loads(f"<methodResponse>{whole}</methodResponse>")[0]
