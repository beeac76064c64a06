"""Where disks of a pool can be read by NBD (xapi: ocaml/xapi/xapi_vdi.ml get_nbd_info, nbd/src)."""

from collections.abc import Iterable

import structlog

from services.chassis.config import Secret
from services.chassis.errors import FailedPrecondition
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_objects import XapiObjects
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.ports.readers import NbdEndpoint

_log = structlog.get_logger()


class XapiReaders:
    """NBD endpoints on one session."""

    def __init__(self, session: XapiSession, objects: XapiObjects) -> None:
        self._session = session
        self._objects = objects

    async def assert_readable(self) -> None:
        """See ports.Readers."""
        with translating("looking for a network for NBD"):
            networks = await self._session.call("network.get_all_records")
        if any("nbd" in network["purpose"] for network in networks.values()):
            return
        raise FailedPrecondition(
            f"No network of pool {self._session.pool} may carry NBD over TLS, so disks cannot be read.",
            reason="NBD_NOT_ENABLED",
            hint=(
                "As pool administrator run `xe network-param-add param-name=purpose param-key=nbd "
                "uuid=<UUID of the network backups should use>` on a host, wait ten seconds and try again."
            ),
        )

    async def nbd_endpoints(self, snapshot_disk_ids: tuple[str, ...]) -> dict[str, tuple[NbdEndpoint, ...]]:
        """See ports.Readers."""
        with translating("asking where the disks can be read"):
            live = await self.live_hosts()
            pifs = await self._session.call("PIF.get_all_records")
            host_at: dict[str, str] = {}
            for pif in pifs.values():
                addresses = [pif["IP"], *(address.partition("/")[0] for address in pif["IPv6"])]
                host_at |= {address: live.get(pif["host"], "") for address in addresses if address}
            return {disk: await self._endpoints(disk, host_at) for disk in snapshot_disk_ids}

    async def live_hosts(self) -> dict[str, str]:
        """UUIDs of the hosts the pool believes alive, by reference."""
        hosts = await self._session.call("host.get_all_records")
        metrics = await self._session.call("host_metrics.get_all_records")
        return {
            ref: host["uuid"]
            for ref, host in hosts.items()
            if metrics.get(host["metrics"], {"live": False})["live"]
        }

    async def hosts_seeing(self, sr: str) -> set[tuple[str, str]]:
        """(UUID, address) of the live, pinned hosts with the SR (a reference) plugged in."""
        live = await self.live_hosts()
        pbds = await self._session.call("PBD.get_all_records")
        refs = {pbd["host"] for pbd in pbds.values() if pbd["SR"] == sr and pbd["currently_attached"]}
        hosts = {(live[ref], await self._session.call("host.get_address", ref)) for ref in refs & live.keys()}
        return {each for each in hosts if self._session.certificate(each[0])}

    async def _endpoints(self, disk_id: str, host_at: dict[str, str]) -> tuple[NbdEndpoint, ...]:
        ref = await self._objects.ref("VDI", disk_id)
        if ref is None:
            return ()
        told = await self._session.call("VDI.get_nbd_info", ref)
        endpoints = [
            NbdEndpoint(
                host_id=host_at.get(each["address"], ""),
                address=each["address"],
                port=int(each["port"]),
                export_name=Secret(each["exportname"]),
                certificate_pem=each["cert"],
                server_name=each["subject"],
            )
            for each in told
        ]
        usable = tuple(endpoint for endpoint in endpoints if endpoint.host_id)
        if len(usable) < len(endpoints):
            _log.info("endpoints of dead hosts left out", disk=disk_id, left_out=len(endpoints) - len(usable))
        return usable


def spread(hosts: Iterable[tuple[str, str]], disk_id: str) -> list[tuple[str, str]]:
    """The hosts in an order that is the disk's own, so that each host is first for some disks."""
    known = sorted(hosts)
    first = int(disk_id[:8], 16) % len(known) if known else 0
    return known[first:] + known[:first]
