"""Pools: adding, finding and forgetting them; each is watched as long as it is ours."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from services.chassis.clock import Clock
from services.chassis.config import Secret
from services.chassis.errors import DataLoss, InvalidInput, NotFound
from services.hypervisor.app.pool_watch import CANVASS_EVERY_S, PoolWatch
from services.hypervisor.app.steps import Locks
from services.hypervisor.domain.events import PoolAdded, PoolRemoved
from services.hypervisor.domain.pool import Certificate, Picture, Pool, PoolState
from services.hypervisor.domain.vm import Vm
from services.hypervisor.ports.guests import GuestAgents
from services.hypervisor.ports.pool import PoolConnection, PoolGateway
from services.hypervisor.ports.stores import PoolStore

FIRST_LOOK_S = 15.0
"""How long adding a pool waits for its inventory before it answers without."""


class Pools:
    """Every pool of ours. ``async with`` watches them. ``connected`` is told when one (again) answers,
    ``stirred`` then, too, and when its storage changed, ``halted`` then and when a VM went off."""

    def __init__(
        self,
        store: PoolStore,
        gateway: PoolGateway,
        clock: Clock,
        connected: Callable[[str], None],
        stirred: Callable[[str], None],
        halted: Callable[[str], None],
        *,
        canvass_every_s: float = CANVASS_EVERY_S,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._clock = clock
        self._connected = connected
        self._stirred = stirred
        self._halted = halted
        self._canvass_every_s = canvass_every_s
        self._locks = Locks()
        self._watches: dict[str, tuple[PoolWatch, asyncio.Task[None]]] = {}

    async def __aenter__(self) -> "Pools":
        for pool in await self._store.all():
            try:
                await self._start(pool, await self._store.password(pool.pool_id))
            except DataLoss as error:
                await self._start_without_password(pool, error)
        return self

    async def __aexit__(self, *_: object) -> None:
        for pool_id in list(self._watches):
            await self._stop(pool_id)

    async def probe(self, address: str) -> Certificate:
        """The certificate presented at an address; nothing is stored."""
        return await self._gateway.probe(address)

    async def add(self, address: str, username: str, password: Secret, certificate_sha256: str) -> PoolWatch:
        """Adds a pool, or renews credentials and certificates of one we have."""
        told, port = await self._gateway.introduce(address, username, password, certificate_sha256)
        async with self._locks.of(told.pool_id):
            before = self._watches.get(told.pool_id)
            pool = Pool(
                pool_id=told.pool_id,
                display_name=told.display_name,
                product=told.product,
                username=username,
                port=port,
                coordinator=told.coordinator,
                members=told.members,
                hosts=before[0].pool.hosts if before else (),
                missing_rights=told.missing_rights,
                state=before[0].pool.state if before else PoolState.ONLINE,
                state_message=before[0].pool.state_message if before else "",
                created=before[0].pool.created if before else self._clock.now(),
            )
            await self._stop(pool.pool_id)
            await self._store.save(pool, password, () if before else (PoolAdded(),))
            watch = await self._start(pool, password)
        with suppress(TimeoutError):  # the answer is true without the inventory, too
            await self._clock.wait(watch.looked.wait(), FIRST_LOOK_S)
        return watch

    async def remove(self, name: str) -> None:
        """Forgets a pool and its credentials."""
        watch = self.find(name)
        async with self._locks.of(watch.pool.pool_id):
            await self._stop(watch.pool.pool_id)
            await self._store.remove(watch.pool, (PoolRemoved(),))

    def all(self) -> list[PoolWatch]:
        """By name."""
        watches = [watch for watch, _ in self._watches.values()]
        return sorted(watches, key=lambda watch: (watch.pool.display_name, watch.pool.pool_id))

    def find(self, name: str) -> PoolWatch:
        """By ``pools/{pool}``, UUID or display name. Raises NotFound POOL_UNKNOWN, InvalidInput AMBIGUOUS."""
        wanted = name.removeprefix("pools/")
        if wanted in self._watches:
            return self._watches[wanted][0]
        named = [watch for watch, _ in self._watches.values() if watch.pool.display_name == wanted]
        if len(named) > 1:
            raise InvalidInput(
                f"{len(named)} pools are called {wanted!r}.",
                reason="POOL_AMBIGUOUS",
                hint="Name it by its UUID.",
                metadata={"pool": wanted},
            )
        if not named:
            raise NotFound(
                f"There is no pool {wanted!r}.",
                reason="POOL_UNKNOWN",
                hint="List the pools, or add it.",
                metadata={"pool": wanted},
            )
        return named[0]

    def connection(self, pool_id: str) -> PoolConnection:
        """Raises NotFound POOL_UNKNOWN."""
        return self.find(pool_id).connection

    async def _start(self, pool: Pool, password: Secret) -> PoolWatch:
        connection = self._gateway.connect(pool, password)
        known = await self._store.picture(pool)
        watch = PoolWatch(
            pool,
            known,
            connection,
            self._store,
            self._clock,
            self._connected,
            self._stirred,
            self._halted,
            canvass_every_s=self._canvass_every_s,
        )
        task = asyncio.create_task(watch.run(), name=f"watch {pool.pool_id}")
        self._watches[pool.pool_id] = (watch, task)
        return watch

    async def _start_without_password(self, pool: Pool, error: DataLoss) -> None:
        """The other pools go on; this one waits for somebody to add it again."""
        watch = await self._start(replace(pool, state=PoolState.UNAUTHENTICATED), Secret(""))
        _, task = self._watches[pool.pool_id]
        task.cancel()
        watch.pool = replace(watch.pool, state_message=str(error))

    async def _stop(self, pool_id: str) -> None:
        watch, task = self._watches.pop(pool_id, (None, None))
        if watch is None or task is None:
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await watch.connection.close()


class Vms:
    """VMs of all pools, as last known."""

    def __init__(self, pools: Pools, agents: GuestAgents) -> None:
        self._pools = pools
        self._agents = agents

    def agent_obstacle(self, vm: Vm) -> str:
        """Why no agent can freeze its guest, "" when one can."""
        return self._agents.obstacle(vm.pool_id, vm.vm_id)

    def all(self, parent: str, *, templates: bool = False) -> list[tuple[Pool, Vm]]:
        """VMs, or ``templates`` instead, of one pool, or of all when ``parent`` is empty; by name."""
        watches = [self._pools.find(parent)] if parent else self._pools.all()
        found = [(watch.pool, vm) for watch in watches for vm in watch.picture.vms.values()]
        found = [each for each in found if each[1].template is templates]
        return sorted(found, key=lambda each: order_of(each[1]))

    def find(self, name: str) -> tuple[Pool, Vm]:
        """By ``pools/{pool}/vms/{vm}``, UUID or name; a template if no VM has that name. Raises NotFound
        VM_UNKNOWN, InvalidInput VM_AMBIGUOUS."""
        parent, _, wanted = name.rpartition("/vms/")
        vms, templates = self.all(parent), self.all(parent, templates=True)
        found = (
            [each for each in (*vms, *templates) if each[1].vm_id == wanted]
            or [each for each in vms if each[1].display_name == wanted]
            or [each for each in templates if each[1].display_name == wanted]
        )
        if len(found) > 1:
            raise InvalidInput(
                f"{len(found)} VMs are called {wanted!r}.",
                reason="VM_AMBIGUOUS",
                hint="Name it by its UUID: " + ", ".join(vm.vm_id for _, vm in found[:5]) + ".",
                metadata={"vm": wanted},
            )
        if not found:
            raise NotFound(
                f"There is no VM {wanted!r}.",
                reason="VM_UNKNOWN",
                hint="List the VMs, or the templates; snapshots are not among them.",
                metadata={"vm": wanted},
            )
        return found[0]


def order_of(vm: Vm) -> tuple[str, str]:
    """Where a VM stands in a list."""
    return vm.display_name, vm.vm_id


def nothing_known(pool: Pool) -> Picture:
    """A picture for a pool nobody has looked at."""
    return Picture(pool.display_name, pool.product, pool.coordinator, pool.hosts)
