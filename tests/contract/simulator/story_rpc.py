"""Sessions, dispatch, HTTP and JSON-RPC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.simulator.pool.description import DiskDescription, VmDescription
from tests.contract.simulator.stage import Stage, Story
from tests.integration.simulator.pools import MIB

POOL = "OpaqueRef:4dd40621-b78b-ca3d-91a4-cfb50ff8698c"
HOST = "OpaqueRef:8874b2bb-fe10-4ed5-359e-35652d2726e4"
SR = "OpaqueRef:3f9c7fe3-4a4b-223c-5031-b00d52a695fc"
VM_OF_DISPATCH = "OpaqueRef:02326a84-69e0-efc6-47f8-99a248d1b14c"
VM_OF_JSON = "OpaqueRef:8b3be323-ab46-60b0-1a3a-2f0c59f974a0"
A_POOL = {
    "vms": [
        VmDescription(
            name="dispatch-vm", memory_bytes=256 * MIB, disks=[DiskDescription(size_bytes=4 * MIB)]
        ),
        VmDescription(name="running", host="host-1", guest_tools=False),
    ]
}
SHADOW_MULTIPLIERS = {
    16: 1.25,
    40: 1.0,
    43: 2.5,
    46: 1.1,
    49: 100.0,
    52: 3.3333333333333335,
    55: 1e10,
    58: 123456789012345678.0,
}


async def introduce_pool(stage: Stage) -> None:
    pool = stage.simulation.pool.db.only("pool")
    stage.names.update({POOL: pool.ref, HOST: pool["master"], SR: pool["default_SR"]})


async def _dispatch(stage: Stage) -> None:
    await introduce_pool(stage)
    pool = stage.simulation.pool
    vm = stage.one("VM", "dispatch-vm")
    stage.names.update(
        {
            VM_OF_DISPATCH: vm,
            "fce8046b-f889-376d-6a3e-8185be0482a7": pool.db.row("VM", vm)["uuid"],
            "OpaqueRef:3ec50afe-3917-3a7b-9b47-81e6705ff107": stage.one("VDI", "dispatch-vm disk 0"),
        }
    )
    pool.create("secret", value="s3cret")
    pool.tasks.create("client task", "left pending", pool.coordinator.ref)


async def _json(stage: Stage) -> None:
    await introduce_pool(stage)
    pool = stage.simulation.pool
    vm = stage.one("VM", "dispatch-vm")
    stage.names.update(
        {
            VM_OF_JSON: vm,
            "OpaqueRef:96b120d0-5130-ce69-14b5-31895a5528d1": stage.one("VDI", "dispatch-vm disk 0"),
        }
    )
    pool.db.set("VM", vm, "VCPUs_params", {"a": "b"})
    pool.messages.create("ALERT", "VM", "", "text", 1)
    pool.tasks.create("client task", "left pending", pool.coordinator.ref)


def _multiply(value: float) -> Callable[[Stage], Awaitable[None]]:
    async def multiply(stage: Stage) -> None:
        stage.simulation.pool.db.set("VM", stage.names[VM_OF_JSON], "HVM_shadow_multiplier", value)

    return multiply


SESSIONS = Story("a_session", introduce_pool, pool=A_POOL)
DISPATCH = Story("b_dispatch", _dispatch, pool=A_POOL)
HTTP = Story(
    "b_http_rpc",
    introduce_pool,
    otherwise={
        57: "the recorded host had nobody who keeps figures",
        58: "the list of services is not simulated",
        66: "a request without a version times out after 10 s in xapi",
        67: "garbage that has three words looks like a request",
        72: "the protocol of the xe CLI is not simulated",
    },
    pool=A_POOL,
)
JSON_RPC = Story(
    "c_jsonrpc",
    _json,
    before={number: _multiply(value) for number, value in SHADOW_MULTIPLIERS.items()},
    pool=A_POOL,
)
