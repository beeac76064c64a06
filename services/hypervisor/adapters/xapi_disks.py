"""Making disks to write (see ports.Restores): found by their tags, so that nothing is made twice."""

from urllib.parse import urlencode

import structlog

from services.chassis.config import Secret
from services.chassis.errors import Aborted, FailedPrecondition, InvalidInput, NotFound, Unavailable
from services.hypervisor.adapters import xapi_image_formats, xapi_tags, xapi_tasks
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.adapters.xapi_readers import XapiReaders, spread
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.domain import memory
from services.hypervisor.domain.configuration import ConfiguredDisk
from services.hypervisor.domain.image_format import DiskStorage
from services.hypervisor.ports.restores import MadeDisk, WriteEndpoint

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

    async def disk_storage(self, sr_id: str) -> DiskStorage:
        """See ports.Restores."""
        with translating("asking what the storage makes"):
            ref = await self._objects.ref("SR", sr_id)
            sr = await self._objects.record("SR", ref) if ref else None
            if sr is None:
                raise _unknown(self._session.pool, sr_id)
            drivers = await self._session.call("SM.get_all_records")
        made = [xapi_image_formats.made_by(each) for each in drivers.values() if each["type"] == sr["type"]]
        return DiskStorage(str(sr["name_label"]), made[0] if made else None)

    async def make_disk(
        self, target_id: str, disk: ConfiguredDisk, size_bytes: int, sr_id: str, image_format: str = ""
    ) -> MadeDisk:
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
                    "type": "suspend" if disk.device == memory.DEVICE else "user",
                    "sharable": False,
                    "read_only": False,
                    "other_config": tags,
                    "xenstore_data": {},
                    "sm_config": {xapi_image_formats.KEY: image_format} if image_format else {},
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
        await self._let_go(new_disk_id)
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

    async def write_endpoints(self, new_disk_id: str, ticket: str) -> tuple[WriteEndpoint, ...]:
        """See ports.Restores. Disks are spread over the hosts by their UUIDs."""
        with translating(f"asking where disk {new_disk_id} can be written"):
            ref = await self._objects.ref("VDI", new_disk_id)
            vdi = await self._objects.record("VDI", ref) if ref else None
            if ref is None or vdi is None:
                raise XapiFailure("UUID_INVALID", ["VDI", new_disk_id])
            link = await self._session.link()
            hosts = spread(await self._readers.hosts_seeing(vdi["SR"]), new_disk_id)
            if not hosts:
                raise XapiFailure("SR_HAS_NO_PBDS", [])
        query = {
            "session_id": link.ref,
            "task_id": ticket,
            "vdi": ref,
            "format": "raw",
            "chunked": "true",
        }
        port = "" if self._session.port == 443 else f":{self._session.port}"
        return tuple(
            WriteEndpoint(
                host_id=host_id,
                url=Secret(f"https://{address}{port}/import_raw_vdi?{urlencode(query)}"),
                certificate_pem=self._session.certificate(host_id),
            )
            for host_id, address in hosts
        )

    async def release(self, vdi_ref: str, vdi: Record) -> None:
        """Takes our tags off a disk: it is somebody's from now on."""
        for key in xapi_tags.to_take_off(vdi["other_config"]):
            await self._session.call("VDI.remove_from_other_config", vdi_ref, key)

    async def _let_go(self, new_disk_id: str) -> None:
        """Whoever wrote it before is done with. A host that fell silent meanwhile still has it attached, and
        then no other may write it (xapi: ocaml/xapi/xapi_vbd_helpers.ml, VDI_IN_USE)."""
        try:
            ref = await self._objects.ref("VDI", new_disk_id)
            if ref is not None:
                await self._objects.detach_from_control_domains(ref)
        except XapiFailure as failure:
            raise Unavailable(
                f"Disk {new_disk_id} is still attached where writing it broke off before: {failure.words}.",
                reason="DISK_STILL_ATTACHED",
                hint="It is tried again: the pool lets go of it when that host answers or counts as dead.",
            ) from failure

    async def _own(self, ref: str, vdi: Record) -> MadeDisk:
        config = {**vdi["other_config"], xapi_tags.OBJECT: vdi["uuid"]}
        if config != vdi["other_config"]:
            await self._session.call("VDI.set_other_config", ref, config)
        return MadeDisk(str(vdi["uuid"]), xapi_image_formats.told(vdi))

    async def _default_sr(self) -> str | None:
        for pool in (await self._session.call("pool.get_all_records")).values():
            return str(pool["default_SR"])
        return None

    async def _named_sr(self, wanted: str) -> str:
        ref = await self._objects.ref("SR", wanted)
        refs = [ref] if ref else await self._session.call("SR.get_by_name_label", wanted)
        if not refs:
            raise _unknown(self._session.pool, wanted)
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


def _unknown(pool: str, wanted: str) -> NotFound:
    return NotFound(
        f"Pool {pool} has no storage repository {wanted!r}.",
        reason="SR_UNKNOWN",
        hint="Name one by its UUID or its name, as the pool shows it.",
    )


def _label(new_disk_id: str) -> str:
    return f"Xenkeep writes disk {new_disk_id}"


def _holds_disks(sr: Record) -> bool:
    return sr["content_type"] != "iso" and not sr.get("is_tools_sr", False)
