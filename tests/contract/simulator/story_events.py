"""Events: what changed the pool between the recorded requests, and while they waited."""

from __future__ import annotations

from typing import Any

from tests.contract.simulator.stage import Action, Stage, Story
from tests.contract.simulator.story_rpc import A_POOL, introduce_pool
from tests.integration.simulator.pools import MIB

VM = "OpaqueRef:f80c868d-f48c-d566-3e3d-c2ad39553acb"
MESSAGE = "OpaqueRef:b25e43e9-dde8-3a8e-e79b-58fb3437513d"
LEAVES = {
    62: "OpaqueRef:acc01d9c-a249-d472-b8a5-e2dc454b2326",
    89: "OpaqueRef:2bd6125d-c060-30de-48ee-84698f505c3d",
    92: "OpaqueRef:7bdfc36c-8937-e1ea-9542-797d6c9ebbbb",
}
"""Sessions that were logged out while they waited."""
OTHER_TASK = "a task that the recorder had left was swept away meanwhile"
START_UP = "a task of the toolstack's own start is not simulated"


def call(method: str, recorded: str, *params: Any) -> Action:
    """A call on the object that the recording names."""

    async def act(stage: Stage) -> None:
        await stage.call(method, stage.names.get(recorded) or stage.things[recorded], *params)

    return act


async def new_vm(stage: Stage) -> str:
    (template,) = await stage.call("VM.get_by_name_label", "dispatch-vm")
    fields = await stage.call("VM.get_record", template)
    record = {name: value for name, value in fields.items() if name not in ("uuid", "other_config", "tags")}
    made = await stage.call("VM.create", record | {"name_label": "events", "other_config": {}, "tags": ["t"]})
    return str(made)


async def make_vm(stage: Stage) -> None:
    await new_vm(stage)


async def rename_twice(stage: Stage) -> None:
    await stage.call("VM.set_name_label", stage.names[VM], "twice")
    await stage.call("VM.set_name_description", stage.names[VM], "twice")


async def set_again(stage: Stage) -> None:
    await stage.call("VM.set_name_label", stage.names[VM], "twice")


async def make_disk(stage: Stage) -> None:
    sr = stage.simulation.pool.db.only("pool")["default_SR"]
    record = {"SR": sr, "virtual_size": str(4 * MIB), "type": "user", "sharable": False, "read_only": False}
    stage.things["disk"] = await stage.call("VDI.create", record | {"other_config": {}})


async def make_vbd(stage: Stage) -> None:
    record = {
        "VM": stage.names[VM],
        "VDI": stage.things["disk"],
        "userdevice": "0",
        "bootable": False,
        "mode": "RW",
        "type": "Disk",
        "empty": False,
        "other_config": {},
        "qos_algorithm_type": "",
        "qos_algorithm_params": {},
    }
    stage.things["vbd"] = await stage.call("VBD.create", record)


async def make_and_destroy(stage: Stage) -> None:
    await stage.call("VM.destroy", await new_vm(stage))


async def modify_and_destroy(stage: Stage) -> None:
    """Of a VM that was there before the token."""
    vm = await new_vm(stage)
    stage.now(38)
    await stage.call("VM.set_name_label", vm, "going")
    await stage.call("VM.destroy", vm)


async def make_and_modify(stage: Stage) -> None:
    await stage.call("VM.set_name_label", await new_vm(stage), "newer")


async def mixture(stage: Stage) -> None:
    """One of each: a VM gone, another changed, a network, a task and a message made."""
    await _mix(stage, 40)
    await stage.call("VM.set_name_label", stage.names[VM], "mixed")


async def second_mixture(stage: Stage) -> None:
    await _mix(stage, 41)


async def _mix(stage: Stage, number: int) -> None:
    going, gone_task = await new_vm(stage), await stage.call("task.create", "going", "")
    await stage.call("task.set_status", gone_task, "success")
    stage.now(number)
    await stage.call("task.destroy", gone_task)
    await stage.call("VM.destroy", going)
    await stage.call("task.create", "mixed", "")
    await stage.call("network.create", {"name_label": "n", "other_config": {}})
    await stage.call("message.create", "mixed", "3", "VM", await _uuid(stage), "body")


async def change_another(stage: Stage) -> None:
    (vm,) = await stage.call("VM.get_by_name_label", "dispatch-vm")
    await stage.call("VM.set_name_description", vm, "another")


async def make_task(stage: Stage) -> None:
    stage.things["task"] = await stage.call("task.create", "t", "")
    await stage.call("task.set_progress", stage.things["task"], 0.5)


async def make_message(stage: Stage) -> None:
    stage.things["message"] = await stage.call("message.create", "m", "3", "VM", await _uuid(stage), "body")


async def take_snapshot(stage: Stage) -> None:
    await stage.call("VM.snapshot", stage.names[VM], "s")


async def sync_snapshot(stage: Stage) -> None:
    """A call's own task is made and gone before anybody looks."""
    stage.now(53)
    await take_snapshot(stage)


async def before_injection(stage: Stage) -> None:
    stage.now(66)


async def make_third_vm(stage: Stage) -> None:
    stage.things["third"] = await new_vm(stage)


async def _uuid(stage: Stage) -> str:
    return str(await stage.call("VM.get_uuid", stage.names[VM]))


def leave(recorded: str) -> Action:
    async def log_out(stage: Stage) -> None:
        stage.simulation.pool.sessions.end(stage.names[recorded])

    return log_out


def touch(text: str) -> Action:
    return call("VM.set_name_description", VM, text)


async def _prepare(stage: Stage) -> None:
    await introduce_pool(stage)
    pool = stage.simulation.pool
    pool.messages.create("ALERT", "VM", "", "text", 1)
    pool.tasks.create("left", "", pool.coordinator.ref)


EVENTS = Story(
    "e_events",
    _prepare,
    before={
        27: make_vm,
        28: call("VM.set_name_label", VM, "events 2"),
        29: rename_twice,
        30: set_again,
        31: call("VM.remove_from_other_config", VM, "no such key"),
        32: call("VM.add_tags", VM, "t"),
        33: make_disk,
        34: make_vbd,
        35: call("VBD.destroy", "vbd"),
        36: make_and_destroy,
        38: modify_and_destroy,
        39: make_and_modify,
        40: mixture,
        41: second_mixture,
        42: change_another,
        43: touch("filtered"),
        44: touch("filtered again"),
        50: make_task,
        51: call("task.set_status", "task", "success"),
        52: call("task.destroy", "task"),
        53: sync_snapshot,
        57: make_message,
        58: call("message.destroy", "message"),
        59: take_snapshot,
        65: before_injection,
        83: touch("registered"),
        85: make_third_vm,
        86: call("VM.destroy", "third"),
    },
    during={
        60: touch("woken"),
        61: touch("of another class"),
        84: touch("blocked"),
        **{number: leave(recorded) for number, recorded in LEAVES.items()},
    },
    otherwise={7: START_UP, 37: OTHER_TASK},
    pool=A_POOL,
)
