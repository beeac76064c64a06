"""Making VMs of written disks (see ports.Restores): found by their tags, so that nothing is made twice."""

from collections.abc import Collection, Mapping

import structlog

from services.chassis.clock import Clock
from services.hypervisor.adapters import xapi_checkpoints, xapi_metadata, xapi_tags, xapi_tasks
from services.hypervisor.adapters.xapi_disks import XapiDisks
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_http import XapiHttp
from services.hypervisor.adapters.xapi_keys import note
from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.adapters.xapi_power import XapiPower
from services.hypervisor.adapters.xapi_protection import XapiProtection
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.domain.configuration import ConfiguredInterface
from services.hypervisor.domain.memory import HostCpu
from services.hypervisor.domain.target import AttachedDisk

_log = structlog.get_logger()


class XapiVms:
    """VMs being put back, on one session."""

    def __init__(
        self,
        session: XapiSession,
        objects: XapiObjects,
        http: XapiHttp,
        disks: XapiDisks,
        power: XapiPower,
        protection: XapiProtection,
        clock: Clock,
        installation: str,
    ) -> None:
        self._session = session
        self._objects = objects
        self._http = http
        self._disks = disks
        self._power = power
        self._protection = protection
        self._installation = installation
        self._clock = clock

    async def attached_disks(self, vm_id: str) -> tuple[AttachedDisk, ...] | None:
        """See ports.Restores."""
        with translating(f"reading VM {vm_id}"):
            ref = await self._objects.ref("VM", vm_id)
            vm = await self._objects.record("VM", ref) if ref else None
            if vm is None:
                return None
            return tuple(
                AttachedDisk(vdi["uuid"], vbd["userdevice"], vdi["name_label"])
                for vbd, _, vdi in await self._objects.disks_of(vm)
            )

    async def shut_down(self, vm_id: str, patience_s: float) -> bool:
        """See ports.Restores."""
        with translating(f"shutting down VM {vm_id}"):
            ref, vm = await self._existing(vm_id)
            if vm["power_state"] == "Halted":
                return True
            if vm["power_state"] == "Running" and await self._shut_down_cleanly(ref, patience_s):
                return True
            await self._power.switch_off(vm_id)
        return False

    async def find_vm(self, target_id: str) -> str | None:
        """See ports.Restores."""
        with translating(f"looking for the VM of restore {target_id}"):
            for vm in (await self._objects.where("VM", 'field "is_a_snapshot"="false"')).values():
                if xapi_tags.target_of(vm) == target_id:
                    return str(vm["uuid"])
        return None

    async def host_cpus(self) -> tuple[HostCpu, ...]:
        """See ports.Restores."""
        with translating("reading what processors the hosts have"):
            return await xapi_checkpoints.host_cpus(self._session)

    async def suspend_image(self, vm_id: str) -> str:
        """See ports.Restores."""
        with translating(f"reading VM {vm_id}"):
            _, vm = await self._existing(vm_id)
            found = await xapi_checkpoints.image(self._objects, vm)
            return str(found[1]["uuid"]) if found else ""

    async def import_vm(
        self,
        target_id: str,
        archive: bytes,
        disks: Mapping[str, str],
        name: str,
        original: str | None,
        memory: str = "",
    ) -> None:
        """See ports.Restores. Removable media that are not in this pool are ejected."""
        with translating("making the VM"):
            media = [uuid for uuid in xapi_metadata.media(archive) if await self._objects.ref("VDI", uuid)]
            tags = {xapi_tags.TARGET: target_id, xapi_tags.INSTALLATION: self._installation}
            tags |= {xapi_tags.OBJECT: original} if original else {}
            body = xapi_metadata.rewritten(archive, {*disks, *media}, name, tags, memory)
            query = {f"vdi:{old}": new for old, new in disks.items()}
            query |= {"restore": "true", "force": "true"} if original else {"restore": "false"}
            if original:
                await self._protection.lift(original, target_id)
            try:
                await self._http.put("/import_metadata", query, body, f"Xenkeep restore {target_id}")
            except XapiFailure:
                await self._protect_again(target_id, original)
                raise

    async def _protect_again(self, target_id: str, original: str | None) -> None:
        ref = await self._objects.ref("VM", original) if original else None
        vm = await self._objects.record("VM", ref) if ref else None
        if ref and vm:
            await self._protection.put_back({ref: vm}, target_id)

    async def set_macs(self, vm_id: str, interfaces: Collection[ConfiguredInterface]) -> None:
        """See ports.Restores. Where an interface goes is noted on the VM before the interface is replaced."""
        with translating(f"setting the MAC addresses of VM {vm_id}"):
            ref, vm = await self._existing(vm_id)
            vifs = [(each, await self._objects.record("VIF", each)) for each in vm["VIFs"]]
            found = {vif["device"]: (vif_ref, vif) for vif_ref, vif in vifs if vif}
            noted = {xapi_tags.INTERFACE + device: vif["network"] for device, (_, vif) in found.items()}
            noted |= {xapi_tags.OBJECT: vm["uuid"]}
            for key, text in noted.items():
                await note(self._session, ref, vm["other_config"], key, text)
            config = vm["other_config"] | noted
            for wanted in interfaces:
                vif_ref, vif = found.get(wanted.device, ("", None))
                network = config.get(xapi_tags.INTERFACE + wanted.device)
                if (vif and vif["MAC"].lower() == wanted.mac.lower()) or network is None:
                    continue
                if vif:
                    await self._session.call("VIF.destroy", vif_ref)
                await self._session.call_once("VIF.create", _vif(ref, network, wanted, vif or {}))

    async def release(self, target_id: str, vm_id: str) -> None:
        """See ports.Restores."""
        with translating(f"completing VM {vm_id}"):
            ref, vm = await self._existing(vm_id)
            disks = [(vdi_ref, vdi) for _, vdi_ref, vdi in await self._objects.disks_of(vm)]
            image = await xapi_checkpoints.image(self._objects, vm)
            for vdi_ref, vdi in [*disks, image] if image else disks:
                if xapi_tags.target_of(vdi) == target_id:
                    await self._disks.release(vdi_ref, vdi)
            for key in xapi_tags.to_take_off(vm["other_config"]):
                await self._session.call("VM.remove_from_other_config", ref, key)

    async def start_vm(self, vm_id: str) -> None:
        """See ports.Restores."""
        with translating(f"starting VM {vm_id}"):
            ref, vm = await self._existing(vm_id)
            if vm["power_state"] == "Halted":
                await xapi_tasks.run(self._session, "VM.start", ref, False, False, repeatable=False)
            elif vm["power_state"] == "Suspended":
                await xapi_tasks.run(self._session, "VM.resume", ref, False, False, repeatable=False)

    async def _existing(self, vm_id: str) -> tuple[str, Record]:
        ref = await self._objects.ref("VM", vm_id)
        vm = await self._objects.record("VM", ref) if ref else None
        if ref is None or vm is None:
            raise XapiFailure("UUID_INVALID", ["VM", vm_id])
        return ref, vm

    async def _shut_down_cleanly(self, ref: str, patience_s: float) -> bool:
        try:
            work = xapi_tasks.run(self._session, "VM.clean_shutdown", ref, repeatable=True)
            await self._clock.wait(work, patience_s)
        except TimeoutError:
            _log.info("a VM did not shut down in time", patience_s=patience_s)
            return False
        except XapiFailure as failure:
            _log.info("a VM could not be shut down cleanly", pool_says=failure.words)
            return False
        return True


def _vif(vm: str, network: str, wanted: ConfiguredInterface, before: Record) -> Record:
    """The record of an interface like ``before`` with the wanted address (defaults: xapi data model)."""
    return {
        "device": wanted.device,
        "network": network,
        "VM": vm,
        "MAC": wanted.mac,
        "MTU": before.get("MTU", 1500),
        "other_config": before.get("other_config", {}),
        "qos_algorithm_type": before.get("qos_algorithm_type", ""),
        "qos_algorithm_params": before.get("qos_algorithm_params", {}),
        "locking_mode": before.get("locking_mode", "network_default"),
        "ipv4_allowed": before.get("ipv4_allowed", []),
        "ipv6_allowed": before.get("ipv6_allowed", []),
    }
