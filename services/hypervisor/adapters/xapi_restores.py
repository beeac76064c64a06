"""Making disks and VMs (see ports.Restores): found by their tags, so that nothing is made twice."""

from collections.abc import Collection, Mapping
from urllib.parse import urlencode

import structlog

from services.chassis.clock import Clock
from services.chassis.config import Secret
from services.chassis.errors import Aborted, FailedPrecondition, InvalidInput, NotFound
from services.hypervisor.adapters import xapi_metadata, xapi_tags, xapi_tasks
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_http import XapiHttp
from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.adapters.xapi_readers import XapiReaders
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.domain.configuration import ConfiguredDisk, ConfiguredInterface
from services.hypervisor.domain.target import AttachedDisk
from services.hypervisor.ports.pool import WriteEndpoint

_log = structlog.get_logger()


class XapiDisks:
    """Disks to write, on one session."""

    def __init__(
        self, session: XapiSession, objects: XapiObjects, readers: XapiReaders, installation: str
    ) -> None:
        self._session = session
        self._objects = objects
        self._readers = readers
        self._installation = installation

    async def choose_sr(self, wanted: str, original_sr_id: str) -> str:
        """See ports.Restores."""
        with translating("choosing a storage repository"):
            if wanted:
                return await self._named_sr(wanted)
            for ref in (await self._objects.ref("SR", original_sr_id), await self._default_sr()):
                sr = await self._objects.record("SR", ref) if ref else None
                if sr is not None and _holds_disks(sr):
                    return str(sr["uuid"])
        raise FailedPrecondition(
            f"The disk's storage repository {original_sr_id} is not in pool {self._session.pool}, "
            "and the pool has no default one.",
            reason="NO_SR",
            hint="Name a storage repository of the pool.",
        )

    async def make_disk(self, target_id: str, disk: ConfiguredDisk, size_bytes: int, sr_id: str) -> str:
        """See ports.Restores."""
        with translating(f"making disk {disk.display_name!r}"):
            sr = await self._objects.ref("SR", sr_id)
            made = await self._objects.where("VDI", f'field "SR"="{sr}" and field "is_a_snapshot"="false"')
            for ref, vdi in made.items():
                if (
                    xapi_tags.target_of(vdi) == target_id
                    and vdi["other_config"].get(xapi_tags.DISK) == disk.disk_id
                ):
                    return await self._own(ref, vdi)
            tags = {
                xapi_tags.TARGET: target_id,
                xapi_tags.DISK: disk.disk_id,
                xapi_tags.INSTALLATION: self._installation,
            }
            ref = await self._session.call_once(
                "VDI.create",
                {
                    "name_label": disk.display_name,
                    "name_description": disk.description,
                    "SR": sr,
                    "virtual_size": size_bytes,
                    "type": "user",
                    "sharable": False,
                    "read_only": False,
                    "other_config": tags,
                    "xenstore_data": {},
                    "sm_config": {},
                    "tags": list(disk.tags),
                },
            )
            new = await self._objects.record("VDI", ref)
            if new is None:
                raise XapiFailure("HANDLE_INVALID", ["VDI", ref])
            return await self._own(ref, new)

    async def open_ticket(self, new_disk_id: str) -> str:
        """See ports.Restores."""
        await self.drop_tickets(new_disk_id)
        with translating(f"opening disk {new_disk_id} for writing"):
            return await xapi_tasks.create(self._session, _label(new_disk_id))

    async def ticket_state(self, ticket: str) -> bool | None:
        """See ports.Restores."""
        try:
            record = await xapi_tasks.state(self._session, ticket)
        except xapi_tasks.TaskVanished as vanished:
            raise Aborted(
                "The pool has forgotten the writing of a disk: its coordinator or its toolstack restarted.",
                reason="WRITE_TICKET_LOST",
                hint="Ask for the restore target again and write its disks from their start.",
            ) from vanished
        except XapiFailure as failure:
            raise Aborted(
                f"Writing a disk failed in the pool: {failure.words}.",
                reason="WRITE_FAILED",
                hint="Ask for the restore target again and write its disks from their start.",
                metadata={"pool_code": failure.code},
            ) from failure
        return True if record["status"] == "success" else None

    async def drop_tickets(self, new_disk_id: str) -> None:
        """See ports.Restores. Found by their label: one may have been made that nobody was told of."""
        with translating("ending the writing of a disk"):
            for task in await self._session.call("task.get_by_name_label", _label(new_disk_id)):
                await xapi_tasks.discard(self._session, task)

    async def write_endpoint(self, new_disk_id: str, ticket: str) -> WriteEndpoint:
        """See ports.Restores. Disks are spread over the hosts by their UUIDs."""
        with translating(f"asking where disk {new_disk_id} can be written"):
            ref = await self._objects.ref("VDI", new_disk_id)
            vdi = await self._objects.record("VDI", ref) if ref else None
            if ref is None or vdi is None:
                raise XapiFailure("UUID_INVALID", ["VDI", new_disk_id])
            link = await self._session.link()
            hosts = sorted(await self._readers.hosts_seeing(vdi["SR"]))
            if not hosts:
                raise XapiFailure("SR_HAS_NO_PBDS", [])
        host_id, address = hosts[int(new_disk_id[:8], 16) % len(hosts)]
        query = {
            "session_id": link.ref,
            "task_id": ticket,
            "vdi": ref,
            "format": "raw",
            "chunked": "true",
        }
        port = "" if self._session.port == 443 else f":{self._session.port}"
        return WriteEndpoint(
            host_id=host_id,
            url=Secret(f"https://{address}{port}/import_raw_vdi?{urlencode(query)}"),
            certificate_pem=self._session.certificate(host_id),
        )

    async def release(self, vdi_ref: str, vdi: Record) -> None:
        """Takes our tags off a disk."""
        config = xapi_tags.untagged(vdi["other_config"])
        if config != vdi["other_config"]:
            await self._session.call("VDI.set_other_config", vdi_ref, config)

    async def _own(self, ref: str, vdi: Record) -> str:
        config = {**vdi["other_config"], xapi_tags.OBJECT: vdi["uuid"]}
        if config != vdi["other_config"]:
            await self._session.call("VDI.set_other_config", ref, config)
        return str(vdi["uuid"])

    async def _default_sr(self) -> str | None:
        for pool in (await self._session.call("pool.get_all_records")).values():
            return str(pool["default_SR"])
        return None

    async def _named_sr(self, wanted: str) -> str:
        ref = await self._objects.ref("SR", wanted)
        refs = [ref] if ref else await self._session.call("SR.get_by_name_label", wanted)
        if not refs:
            raise NotFound(
                f"Pool {self._session.pool} has no storage repository {wanted!r}.",
                reason="SR_UNKNOWN",
                hint="Name one by its UUID or its name, as the pool shows it.",
            )
        if len(refs) > 1:
            raise InvalidInput(
                f"Pool {self._session.pool} has {len(refs)} storage repositories called {wanted!r}.",
                reason="SR_AMBIGUOUS",
                hint="Name it by its UUID.",
            )
        sr = await self._objects.record("SR", refs[0])
        if sr is None or not _holds_disks(sr):
            raise InvalidInput(
                f"The storage repository {wanted!r} is not for disks.",
                reason="SR_NOT_FOR_DISKS",
                hint="Choose one that is not an ISO library.",
            )
        return str(sr["uuid"])


class XapiVms:
    """VMs being put back, on one session."""

    def __init__(
        self,
        session: XapiSession,
        objects: XapiObjects,
        http: XapiHttp,
        disks: XapiDisks,
        clock: Clock,
        installation: str,
    ) -> None:
        self._session = session
        self._objects = objects
        self._http = http
        self._disks = disks
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
            try:
                await xapi_tasks.run(self._session, "VM.hard_shutdown", ref, repeatable=True)
            except XapiFailure as failure:
                if failure.code != "VM_BAD_POWER_STATE" or failure.params[-1:] != ["halted"]:
                    raise
        return False

    async def find_vm(self, target_id: str) -> str | None:
        """See ports.Restores."""
        with translating(f"looking for the VM of restore {target_id}"):
            for vm in (await self._objects.where("VM", 'field "is_a_snapshot"="false"')).values():
                if xapi_tags.target_of(vm) == target_id:
                    return str(vm["uuid"])
        return None

    async def import_vm(
        self, target_id: str, archive: bytes, disks: Mapping[str, str], name: str, original: str | None
    ) -> None:
        """See ports.Restores. Removable media that are not in this pool are ejected."""
        with translating("making the VM"):
            media = [uuid for uuid in xapi_metadata.media(archive) if await self._objects.ref("VDI", uuid)]
            tags = {xapi_tags.TARGET: target_id, xapi_tags.INSTALLATION: self._installation}
            tags |= {xapi_tags.OBJECT: original} if original else {}
            body = xapi_metadata.rewritten(archive, {*disks, *media}, name, tags)
            query = {f"vdi:{old}": new for old, new in disks.items()}
            query |= {"restore": "true", "force": "true"} if original else {"restore": "false"}
            await self._http.put("/import_metadata", query, body, f"Xenkeep restore {target_id}")

    async def set_macs(self, vm_id: str, interfaces: Collection[ConfiguredInterface]) -> None:
        """See ports.Restores. Where an interface goes is noted on the VM before the interface is replaced."""
        with translating(f"setting the MAC addresses of VM {vm_id}"):
            ref, vm = await self._existing(vm_id)
            vifs = [(each, await self._objects.record("VIF", each)) for each in vm["VIFs"]]
            found = {vif["device"]: (vif_ref, vif) for vif_ref, vif in vifs if vif}
            noted = {xapi_tags.INTERFACE + device: vif["network"] for device, (_, vif) in found.items()}
            config = {**vm["other_config"], xapi_tags.OBJECT: vm["uuid"], **noted}
            await self._session.call("VM.set_other_config", ref, config)
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
            for _, vdi_ref, vdi in await self._objects.disks_of(vm):
                if xapi_tags.target_of(vdi) == target_id:
                    await self._disks.release(vdi_ref, vdi)
            config = xapi_tags.untagged(vm["other_config"])
            if config != vm["other_config"]:
                await self._session.call("VM.set_other_config", ref, config)

    async def start_vm(self, vm_id: str) -> None:
        """See ports.Restores."""
        with translating(f"starting VM {vm_id}"):
            ref, vm = await self._existing(vm_id)
            if vm["power_state"] == "Halted":
                await xapi_tasks.run(self._session, "VM.start", ref, False, False, repeatable=False)

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


def _label(new_disk_id: str) -> str:
    return f"Xenkeep writes disk {new_disk_id}"


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


def _holds_disks(sr: Record) -> bool:
    return sr["content_type"] != "iso" and not sr.get("is_tools_sr", False)
