"""Power of VMs of somebody's (see ports.GuestPower; xapi: ocaml/xapi/xapi_vm.ml, xapi_vm_lifecycle.ml)."""

from contextlib import suppress

import structlog

from services.chassis.clock import Clock
from services.hypervisor.adapters import xapi_tasks
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_guests import (
    guest_facts,
    memory_obstacle,
    quiesce_obstacle,
    shutdown_obstacle,
)
from services.hypervisor.adapters.xapi_objects import NULL, Record, XapiObjects
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.domain.vm import PowerState
from services.hypervisor.ports.guests import Guest

_UNSETTLED = frozenset({"clean_shutdown", "hard_shutdown", "shutdown", "checkpoint", "resume", "resume_on"})
_WITHDRAWAL_S = 30.0
_LOOKS = 6
_LOOK_S = 5.0

_log = structlog.get_logger()


class XapiPower:
    """Shutting down and starting on one session."""

    def __init__(self, session: XapiSession, objects: XapiObjects, clock: Clock) -> None:
        self._session = session
        self._objects = objects
        self._clock = clock

    async def guest_of(self, vm: Record) -> Guest:
        """What a VM's record says."""
        host = await self._objects.record("host", vm["resident_on"])
        metrics = await self._objects.record("VM_guest_metrics", vm["guest_metrics"])
        pools = await self._session.call("pool.get_all_records")
        restrictions: dict[str, str] = next((pool["restrictions"] for pool in pools.values()), {})
        return Guest(
            display_name=vm["name_label"],
            power_state=PowerState(vm["power_state"].upper()),
            host_id=host["uuid"] if host else "",
            shutdown_obstacle=shutdown_obstacle(vm, metrics),
            quiesce_obstacle=quiesce_obstacle(vm),
            memory_obstacle=memory_obstacle(vm, metrics, restrictions),
            domain_controller_hint=guest_facts(vm, metrics).domain_controller_hint,
        )

    async def ask_to_shut_down(self, vm_id: str, patience_s: float) -> str:
        """See ports.GuestPower."""
        with translating(f"shutting down VM {vm_id}"):
            ref, vm = await self._existing(vm_id)
            if vm["power_state"] == "Halted":
                return ""
            task = await self._session.call("Async.VM.clean_shutdown", ref)
            try:
                await self._clock.wait(xapi_tasks.finished(self._session, task), patience_s)
                why_not = "it was started again at once"
            except TimeoutError:
                why_not = f"it was still on after {patience_s:g} s"
                await self._withdraw(task)
            except xapi_tasks.TaskVanished:
                why_not = "the toolstack restarted meanwhile"
            except XapiFailure as failure:
                why_not = f"the pool says {failure.words}"
            finally:
                await xapi_tasks.destroy(self._session, task)
            return "" if (await self._settled(vm_id))[1]["power_state"] == "Halted" else why_not

    async def switch_off(self, vm_id: str) -> None:
        """See ports.GuestPower."""
        with translating(f"switching off VM {vm_id}"):
            ref, vm = await self._existing(vm_id)
            if vm["power_state"] == "Halted":
                return
            try:
                await xapi_tasks.run(self._session, "VM.hard_shutdown", ref, repeatable=True)
            except XapiFailure as failure:
                if failure.code != "VM_BAD_POWER_STATE" or failure.params[-1:] != ["halted"]:
                    raise

    async def start_again(self, vm_id: str, host_id: str) -> None:
        """See ports.GuestPower."""
        with translating(f"starting VM {vm_id} again"):
            if await self._objects.ref("VM", vm_id) is None:
                _log.warning("a VM that was shut down for its backup is gone", vm=vm_id)
                return
            ref, vm = await self._settled(vm_id)
            if vm["power_state"] != "Halted":
                return
            host = await self._objects.ref("host", host_id) if host_id else None
            if host is not None and await self._started_on(ref, host):
                return
            await xapi_tasks.run(self._session, "VM.start", ref, False, False, repeatable=False)

    async def resume_again(self, vm_id: str, host_id: str) -> None:
        """See ports.GuestPower."""
        with translating(f"resuming VM {vm_id} again"):
            if await self._objects.ref("VM", vm_id) is None:
                _log.warning("a VM that was suspended for its backup is gone", vm=vm_id)
                return
            ref, vm = await self._settled(vm_id)
            if vm["power_state"] != "Suspended":
                return
            host = await self._objects.ref("host", host_id) if host_id else None
            if host is None or not await self._resumed_on(ref, host):
                await xapi_tasks.run(self._session, "VM.resume", ref, False, False, repeatable=False)

    async def _resumed_on(self, ref: str, host: str) -> bool:
        try:
            await xapi_tasks.run(self._session, "VM.resume_on", ref, host, False, False, repeatable=False)
        except XapiFailure as failure:
            now = await self._objects.record("VM", ref)
            if now is not None and now["power_state"] != "Suspended":
                return True
            _log.info("a VM is resumed on another host than before", pool_says=failure.words)
            return False
        return True

    async def _started_on(self, ref: str, host: str) -> bool:
        try:
            await xapi_tasks.run(self._session, "VM.start_on", ref, host, False, False, repeatable=False)
        except XapiFailure as failure:
            now = await self._objects.record("VM", ref)
            if now is not None and now["power_state"] != "Halted":
                return True
            _log.info("a VM is started on another host than before", pool_says=failure.words)
            return False
        return True

    async def _withdraw(self, task: str) -> None:
        """Whether it helped is seen in the VM."""
        await xapi_tasks.cancel(self._session, task)
        with suppress(TimeoutError, XapiFailure, xapi_tasks.TaskVanished):
            await self._clock.wait(xapi_tasks.finished(self._session, task), _WITHDRAWAL_S)

    async def _settled(self, vm_id: str) -> tuple[str, Record]:
        """The VM when no shutdown or checkpoint of it is under way: it may be one whose answer was lost."""
        for _ in range(_LOOKS):
            ref, vm = await self._existing(vm_id)
            if not _UNSETTLED & set(vm["current_operations"].values()):
                return ref, vm
            watched = [f"VM/{ref}"]
            token = (await self._session.call("event.from", watched, "", 0.0))["token"]
            await self._session.call("event.from", watched, token, _LOOK_S)
        raise XapiFailure("OTHER_OPERATION_IN_PROGRESS", ["VM", "shutdown"])

    async def _existing(self, vm_id: str) -> tuple[str, Record]:
        ref = await self._objects.ref("VM", vm_id)
        vm = await self._objects.record("VM", ref) if ref and ref != NULL else None
        if ref is None or vm is None:
            raise XapiFailure("UUID_INVALID", ["VM", vm_id])
        return ref, vm
