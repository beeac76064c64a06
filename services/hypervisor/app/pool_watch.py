"""Keeping up with one pool: what it tells is compared with what was last known, told on, and remembered."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import FailedPrecondition, Internal, ResourceExhausted, Unavailable, XenkeepError
from services.hypervisor.domain.events import (
    CoordinatorAgreed,
    CoordinatorContested,
    PoolEvent,
    PoolReachable,
    PoolUnreachable,
    VmPowerChanged,
)
from services.hypervisor.domain.leadership import Leadership
from services.hypervisor.domain.pool import Member, Picture, Pool, PoolState
from services.hypervisor.domain.reconcile import changes
from services.hypervisor.domain.vm import PowerState
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.stores import PoolStore

_PAUSE_S = {
    PoolState.UNREACHABLE: 1.0,  # its return is told within two seconds
    PoolState.CONTESTED: 1.0,
    PoolState.CERTIFICATE_CHANGED: 30.0,
    PoolState.UNAUTHENTICATED: 60.0,  # more often could lock the account
}

CANVASS_EVERY_S = 10.0
"""How often hosts are asked whom they follow: a few in turn, and all as long as they do not agree."""
_SURE_AFTER = 0.2
"""So much later, as a part of that, they are asked again: one that just began to lead is not contested."""

_log = structlog.get_logger()


class PoolWatch:
    """One pool from when it was added, or we started, until it is removed."""

    def __init__(
        self,
        pool: Pool,
        known: Picture,
        connection: PoolConnection,
        store: PoolStore,
        clock: Clock,
        connected: Callable[[str], None],
        stirred: Callable[[str], None],
        halted: Callable[[str], None],
        *,
        canvass_every_s: float = CANVASS_EVERY_S,
    ) -> None:
        self.pool = pool
        self.picture = known
        self._homes = {vm.vm_id: vm.host_id for vm in known.vms.values() if vm.host_id}
        self.connection = connection
        self.looked = asyncio.Event()
        """Set once the picture is current."""
        self._store = store
        self._clock = clock
        self._connected = connected
        self._stirred = stirred
        self._halted = halted
        self._canvass_every_s = canvass_every_s
        self._changing = asyncio.Lock()
        """Held from reading ``pool`` until what became of it is stored: two look at the pool."""

    def is_off(self, vm_id: str) -> bool:
        """Whether a VM is off, as the pool told last."""
        vm = self.picture.vms.get(vm_id)
        return vm is not None and vm.power_state is PowerState.HALTED

    async def run(self) -> None:
        """For ever; trouble with the pool is its state, not the end."""
        canvassing = asyncio.create_task(self._canvass(), name=f"canvass {self.pool.pool_id}")
        try:
            await self._look()
        finally:
            canvassing.cancel()
            await asyncio.gather(canvassing, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            try:
                await self._follow()
            except XenkeepError as error:
                await self._trouble(error)
            except Exception as error:  # noqa: BLE001 - the boundary: a pool we cannot read is in trouble
                _log.error("watching a pool failed", pool=self.pool.pool_id, exc_info=error)
                await self._trouble(
                    Internal(
                        f"Watching pool {self.pool.display_name} failed inside ({type(error).__name__}).",
                        reason="WATCH_FAILED",
                        hint="The log of the hypervisor service says more.",
                    )
                )
            await self._clock.sleep(_PAUSE_S.get(self.pool.state, 2.0))

    async def _follow(self) -> None:
        first, faces = True, frozenset[tuple[str, str]]()
        async for picture in self.connection.watch():
            members = self.pool.members
            if first or _faces(picture) != faces:
                members = await self._members(picture)
                self.connection.learn(members, picture.coordinator)
                faces = _faces(picture)
            async with self._changing:
                await self._learn(picture, members)
            if first:
                self._connected(self.pool.pool_id)
                self._stirred(self.pool.pool_id)
                self._halted(self.pool.pool_id)
            first = False

    async def _members(self, picture: Picture) -> tuple[Member, ...]:
        """What the coordinator says now; a host it could not ask keeps what is known of it.

        Of itself it is not believed: a person agrees to the coordinator's certificate.
        """
        told = {member.host_id: member for member in await self.connection.members()}
        before = {member.host_id: member for member in self.pool.members}
        _assert_same(before.get(picture.coordinator), told.get(picture.coordinator))
        known = before | told
        return tuple(known[host.host_id] for host in picture.hosts if host.host_id in known)

    async def _learn(self, picture: Picture, members: tuple[Member, ...]) -> None:
        found = changes(self.picture, picture, self._homes)
        events: list[PoolEvent] = list(found.events)
        if self.pool.state is not PoolState.ONLINE:
            events.insert(0, PoolReachable())
        pool = replace(
            self.pool,
            display_name=picture.display_name,
            product=picture.product,
            coordinator=picture.coordinator,
            hosts=picture.hosts,
            members=members,
            state=PoolState.ONLINE,
            state_message="",
        )
        if pool != self.pool or events or found.vms_to_keep or found.vms_to_forget:
            await self._store.update(pool, events, found)
        moved = picture.storage_changes != self.picture.storage_changes
        self.pool, self.picture = pool, picture
        self._homes |= {vm.vm_id: vm.host_id for vm in picture.vms.values() if vm.host_id}
        self.looked.set()
        if moved:
            self._stirred(pool.pool_id)
        if any(_went_off(event) for event in found.events):
            self._halted(pool.pool_id)

    async def _canvass(self) -> None:
        """For ever; a pool that cannot be asked is in trouble, which the other look tells."""
        while True:
            await self._clock.sleep(self._canvass_every_s)
            if self.pool.state is not PoolState.ONLINE:
                continue
            try:
                found = await self.connection.leadership(sampled=not self.pool.dispute)
                if found.contested and not self.pool.dispute:
                    await self._clock.sleep(self._canvass_every_s * _SURE_AFTER)
                    found = await self.connection.leadership()
                async with self._changing:
                    await self._note_leadership(found)
            except XenkeepError as error:
                _log.warning("hosts not asked whom they follow", pool=self.pool.pool_id, reason=error.reason)
            except Exception as error:  # noqa: BLE001 - the boundary: the next round asks again
                _log.error("asking hosts whom they follow failed", pool=self.pool.pool_id, exc_info=error)

    async def _note_leadership(self, found: Leadership) -> None:
        if found.dispute == self.pool.dispute:
            return
        events: list[PoolEvent] = []
        if not found.contested:
            events = [CoordinatorAgreed()]
        elif not self.pool.dispute:
            events = [CoordinatorContested(_told(found.dispute, used=bool(found.leader)))]
        await self._note(replace(self.pool, dispute=found.dispute), events)

    async def _trouble(self, error: XenkeepError) -> None:
        _log.warning("pool in trouble", pool=self.pool.pool_id, reason=error.reason, detail=str(error))
        async with self._changing:
            await self._note_trouble(error, _state_of(error))

    async def _note_trouble(self, error: XenkeepError, state: PoolState) -> None:
        if state is self.pool.state:
            return
        message = f"{error} Since {self._clock.now():%Y-%m-%d %H:%M:%S} UTC."
        events: list[PoolEvent] = []
        pool = replace(self.pool, state=state, state_message=message)
        if state is PoolState.CONTESTED and not self.pool.dispute:
            pool = replace(pool, dispute=str(error))
            events.append(CoordinatorContested(str(error)))
        if self.pool.state is PoolState.ONLINE:
            events.append(PoolUnreachable(str(error)))
        await self._note(pool, events)

    async def _note(self, pool: Pool, events: list[PoolEvent]) -> None:
        """Unless our own store is away: the next look says it again, and we must go on looking."""
        try:
            await self._store.update(pool, events)
        except (Unavailable, ResourceExhausted) as away:
            _log.warning("pool's trouble not noted", pool=pool.pool_id, reason=away.reason, detail=str(away))
            return
        self.pool = pool


def _told(dispute: str, *, used: bool) -> str:
    follows = "Backups go on through the one that most hosts follow." if used else "The pool is not used."
    return f"{dispute}. {follows}"


def _faces(picture: Picture) -> frozenset[tuple[str, str]]:
    """Where the hosts are and what they present: when this changes, certificates are learned again."""
    return frozenset((host.address, host.fingerprint) for host in picture.hosts)


def _went_off(event: PoolEvent) -> bool:
    return isinstance(event, VmPowerChanged) and event.vm.power_state is PowerState.HALTED


def _assert_same(known: Member | None, told: Member | None) -> None:
    if known is None or told is None or known.certificate_pem.split() == told.certificate_pem.split():
        return
    raise FailedPrecondition(
        f"The coordinator {told.address} has another certificate than the one that was agreed to.",
        reason="CERTIFICATE_CHANGED",
        hint="Compare the fingerprint on the host itself; if it is right, add the pool again with it.",
        metadata={"address": told.address},
    )


def _state_of(error: XenkeepError) -> PoolState:
    if error.reason == "CERTIFICATE_CHANGED":
        return PoolState.CERTIFICATE_CHANGED
    if error.reason == "POOL_CONTESTED":
        return PoolState.CONTESTED
    return PoolState.UNAUTHENTICATED if error.kind == "Unauthenticated" else PoolState.UNREACHABLE
