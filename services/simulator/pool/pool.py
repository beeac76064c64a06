"""The pool that all its hosts share."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.simulator.database.database import Database
from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.machines.machine import Machine
from services.simulator.model.defaults import NULL_REF
from services.simulator.model.schema import Model
from services.simulator.pool.certificates import (
    HostCertificate,
    make_certificate,
    make_internal_certificate,
)
from services.simulator.pool.description import PoolDescription
from services.simulator.pool.guest_disks import GuestDisks
from services.simulator.pool.host import Host
from services.simulator.pool.messages import Messages
from services.simulator.pool.mishaps import Mishaps
from services.simulator.pool.registrations import Registrations
from services.simulator.pool.sessions import Sessions, User
from services.simulator.pool.shelf import Shelf
from services.simulator.pool.tasks import Tasks
from services.simulator.storage.errors import StorageError
from services.simulator.storage.ports import StorageRepository
from services.simulator.wire.datetimes import DateTime

if TYPE_CHECKING:
    from services.simulator.pool.disks import Disks
    from services.simulator.pool.failures import Failures

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True)
class Guest:
    """What runs inside a VM, which no record tells while it is halted."""

    tools: bool
    os_name: str
    vss: bool = False


class Pool:
    """Database, hosts, storage, and the work in progress.

    ``repositories`` are the SRs' contents by SR reference, ``disks`` their records, ``shelf`` all that there
    is; ``guests`` are described VMs by uuid, ``guest_disks`` the disks that are written to from outside,
    ``machines`` what runs in the place of VMs, by the VMs' uuids; ``tpm_contents`` those of virtual TPMs,
    base64, by reference; ``hidden_devices`` are states of PCI devices (``pool/passthrough.py``); ``mishaps``
    what shall go wrong; ``strangers`` hosts that the pool knew once; ``found`` makes a pool of one of them;
    ``storage_motions`` counts those under way by host; ``waiting`` counts calls that wait for the end of an
    operation. Who holds ``guests_may_write`` knows that no guest writes meanwhile, but those of
    ``guest_disks``. All hosts live in this process and see one database, the coordinator's; that supporters
    refuse calls is the dispatcher's business. ``rival`` is the pool as a former coordinator leads it on
    (``pool.split``), ``half`` in such a one the hosts that follow it, and None in any other.
    """

    def __init__(self, model: Model, description: PoolDescription, clock: Clock, ids: IdSource) -> None:
        self.model = model
        self.description = description
        self.clock = clock
        self.ids = ids
        self.db = Database(model)
        users = [User(user.name, user.secret(), user.role) for user in description.users]
        self.sessions = Sessions(self.db, clock, ids, users, description.refusal_delay_s)
        self.tasks = Tasks(self.db, clock, ids)
        self.messages = Messages(self.db, clock, ids)
        self.registrations = Registrations(self.db)
        self.hosts: dict[str, Host] = {}
        self.strangers: list[Host] = []
        self.repositories: dict[str, StorageRepository] = {}
        self.disks: dict[str, Disks] = {}
        self.shelf = Shelf(description.data_dir)
        self.guests: dict[str, Guest] = {}
        self.guest_disks = GuestDisks()
        self.machines: dict[str, Machine] = {}
        self.tpm_contents: dict[str, str] = {}
        self.revocation_lists: set[str] = set()
        self.hidden_devices: dict[str, str] = {}
        self.in_setup_mode: set[str] = set()
        self.proxy_password = NULL_REF
        self.mishaps = Mishaps(clock)
        self.guests_may_write = asyncio.Lock()
        self.domids = itertools.count(1)
        self.storage_motions = Counter[str]()
        self.waiting = 0
        self.rival: Pool | None = None
        self.half: set[Host] | None = None
        self.failures: Failures
        self.found: Callable[[PoolDescription], Awaitable[None]]
        self.running = False
        self._work: set[asyncio.Task[None]] = set()
        self._background: set[asyncio.Task[None]] = set()

    @property
    def data_dir(self) -> Path:
        return self.description.data_dir

    @property
    def coordinator(self) -> Host:
        return self.hosts[self.db.only("pool")["master"]]

    def hears(self, host: Host) -> bool:
        """Whether a host is up and the coordinator reaches it as one of its own."""
        return host.heard if self.half is None else host.alive and host in self.half

    def led_with(self, host: Host) -> Pool:
        """The pool that a host belongs to: this one, or its rival."""
        rival = self.rival
        return rival if rival is not None and host in (rival.half or ()) else self

    def now(self) -> DateTime:
        return DateTime.of(self.clock.now())

    def new_ref(self) -> str:
        return f"OpaqueRef:{self.ids.new()}"

    def create(self, cls: str, **values: Any) -> str:
        """Add an object with a new reference and, unless given, a new uuid; the reference."""
        values.setdefault("uuid", self.ids.new())
        return self.db.create(cls, self.new_ref(), values).ref

    def repository(self, sr: str) -> StorageRepository:
        """The contents of an SR.

        Raises ``SR_HAS_NO_PBDS`` when no host has it attached, ``CANNOT_CONTACT_HOST`` when all that have
        are dead.
        """
        pbds = [self.db.row("PBD", pbd) for pbd in self.db.row("SR", sr)["PBDs"]]
        hosts = [pbd["host"] for pbd in pbds if pbd["currently_attached"]]
        if not hosts:
            raise XapiFailure("SR_HAS_NO_PBDS", sr)
        if self.running and not any(self.hosts[host].alive for host in hosts):
            raise XapiFailure("CANNOT_CONTACT_HOST", hosts[0])
        return self.repositories[sr]

    def named(self, cls: str, name: str) -> Row:
        """The only object of that uuid or name that is not a snapshot. Raises ``KeyError``."""
        rows = (row for row in self.db.tables[cls] if name in (row["uuid"], row["name_label"]))
        found = [row for row in rows if not row.get("is_a_snapshot")]
        if len(found) != 1:
            raise KeyError(name)
        return found[0]

    def host_named(self, name: str) -> Host:
        """By uuid or name, those of a rival too. Raises ``KeyError``."""
        half = self.rival.half if self.rival is not None else None
        for host in (*self.hosts.values(), *(half or set[Host]())):
            if name in (host.uuid, host.name):
                return host
        raise KeyError(name)

    async def make_certificate(self, path: Path, name: str, address: str) -> HostCertificate:
        """Of a host, as this release makes them."""
        with_address = self.model.certifies_addresses
        now = self.clock.now()
        return await asyncio.to_thread(
            make_certificate, path, name, address, now, vouches_for_address=with_address
        )

    def make_internal_certificate(self, certificate: HostCertificate, uuid: str) -> HostCertificate | None:
        """What a host shows other hosts; None in releases without, whose hosts show all the same."""
        if not self.model.has_internal_certificates:
            return None
        path = certificate.path.with_name(f"internal-{uuid}.pem")
        return make_internal_certificate(path, certificate, uuid, self.clock.now())

    async def replace_certificate(self, host: Host) -> str:
        """A host gets a new certificate; its fingerprint."""
        new = await self.make_certificate(host.certificate.path, host.name, host.address)
        self.use_certificate(host, new)
        return new.fingerprint

    def use_certificate(self, host: Host, new: HostCertificate) -> None:
        """Connections made from now on see a certificate that is stored already."""
        old = host.certificate.fingerprint
        host.replace_certificate(new)
        for row in self.db.rows("Certificate") if "Certificate" in self.db.tables else ():
            if row["fingerprint"] == old:
                times = {"not_before": DateTime.of(new.not_before), "not_after": DateTime.of(new.not_after)}
                self.db.update("Certificate", row.ref, fingerprint=new.fingerprint, **times)

    def work(self, job: Coroutine[Any, Any, None]) -> None:
        """Run ``job`` beside everything else, until it ends or the toolstack restarts."""
        _spawn(job, self._work)

    def background(self, job: Coroutine[Any, Any, None]) -> None:
        """Run ``job`` as a host's own business: it goes on when the toolstack restarts."""
        _spawn(job, self._background)

    async def settled(self) -> None:
        """Until the hosts' own business that is under way now is done."""
        await asyncio.gather(*self._background)

    async def stop_work(self) -> None:
        """Break off everything in progress."""
        await _cancel(self._work)

    async def close(self) -> None:
        """Break off everything, the hosts' own business too."""
        if self.rival is not None:
            await self.rival.break_off()
        for machine in self.machines.values():
            await machine.close()
        await self.guest_disks.close()
        await self.break_off()

    async def break_off(self) -> None:
        """Whatever is under way ends; machines and disks stay as they are."""
        await _cancel(self._work | self._background)


async def disk_work(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a storage call in a thread; its error becomes the failure that a storage manager would report."""
    try:
        return await asyncio.to_thread(function, *args, **kwargs)
    except StorageError as error:
        raise XapiFailure(error.code, *error.params) from error


def _spawn(job: Coroutine[Any, Any, None], group: set[asyncio.Task[None]]) -> None:
    task = asyncio.create_task(job)
    group.add(task)
    task.add_done_callback(group.discard)


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    jobs = [task for task in tasks if task is not asyncio.current_task()]
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
