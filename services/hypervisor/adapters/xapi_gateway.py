"""The way to pools (see ports.PoolGateway): certificates first, then credentials."""

from cryptography import x509

from services.chassis.clock import Clock
from services.chassis.config import Secret
from services.chassis.errors import FailedPrecondition, InvalidInput, Unavailable
from services.hypervisor.adapters.pinned_https import (
    ConnectFailed,
    ConnectionLost,
    PinnedHttps,
    WrongCertificate,
    fingerprint,
    fingerprint_of_pem,
    presented_certificate,
)
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_link_errors import certificate_changed, credentials_refused
from services.hypervisor.adapters.xapi_login import LOGIN_TIMEOUT_S
from services.hypervisor.adapters.xapi_members import Credentials
from services.hypervisor.adapters.xapi_pool import XapiPool
from services.hypervisor.adapters.xapi_rights import missing_rights
from services.hypervisor.adapters.xapi_rpc import XapiFailure, rpc
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.domain.pool import Certificate, Member, Pool
from services.hypervisor.ports.pool import Introduction, PoolConnection

HTTPS_PORT = 443


class XapiGateway:
    """``ports.pool.PoolGateway`` over XenAPI; ``installation`` marks what we make in
    a pool, ``patience_s`` is how long a connection bridges an outage."""

    def __init__(self, clock: Clock, installation: str, patience_s: float = 25.0) -> None:
        self._installation = installation
        self._clock = clock
        self._patience_s = patience_s

    async def probe(self, address: str) -> Certificate:
        """See ports.PoolGateway."""
        host, port = _split(address)
        try:
            der = await presented_certificate(host, port)
        except ConnectFailed as error:
            raise _nobody_at(host, port, error) from error
        certificate = x509.load_der_x509_certificate(der)
        return Certificate(
            sha256=fingerprint(der),
            subject=certificate.subject.rfc4514_string(),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )

    async def introduce(
        self, address: str, username: str, password: Secret, certificate_sha256: str
    ) -> tuple[Introduction, int]:
        """See ports.PoolGateway."""
        host, port = _split(address)
        sha256 = certificate_sha256.replace(":", "").lower()
        try:
            return await self._introduce(host, port, username, password, sha256), port
        except WrongCertificate as wrong:
            raise certificate_changed(address, sha256, wrong.presented) from wrong
        except (ConnectFailed, ConnectionLost) as error:
            raise _nobody_at(host, port, error) from error

    def connect(self, pool: Pool, password: Secret) -> PoolConnection:
        """See ports.PoolGateway."""
        session = XapiSession(
            pool.display_name,
            pool.members,
            pool.coordinator,
            pool.port,
            pool.username,
            password,
            self._clock,
            self._patience_s,
        )
        return XapiPool(pool.pool_id, session, self._clock, self._installation)

    async def _introduce(
        self, host: str, port: int, username: str, password: Secret, sha256: str
    ) -> Introduction:
        https = PinnedHttps(host, port, sha256)
        try:
            arguments = Credentials(username, password).arguments()
            ref = await rpc(https, "session.login_with_password", arguments, LOGIN_TIMEOUT_S)
        except XapiFailure as failure:
            if failure.code == "HOST_IS_SLAVE" and failure.params:
                coordinator = failure.params[0]
                if not failure.coordinator_sha256:
                    raise _untrusted(host, coordinator) from failure
                return await self._introduce(
                    coordinator, port, username, password, failure.coordinator_sha256
                )
            if failure.code == "SESSION_AUTHENTICATION_FAILED":
                raise credentials_refused(f"at {host}", username) from failure
            with translating(f"logging in at {host}"):
                raise
        else:
            return await _told(https, str(ref), host)
        finally:
            await https.close()


async def _told(https: PinnedHttps, session: str, host: str) -> Introduction:
    """What the coordinator says of the pool, its hosts and our rights."""

    async def call(method: str, *args: object) -> object:
        return await rpc(https, method, [session, *args], LOGIN_TIMEOUT_S)

    try:
        with translating(f"asking {host} about its pool"):
            pools = await rpc(https, "pool.get_all_records", [session], LOGIN_TIMEOUT_S)
            hosts = await rpc(https, "host.get_all_records", [session], LOGIN_TIMEOUT_S)
            pool = next(iter(pools.values()))
            coordinator = hosts[pool["master"]]
            members = []
            for ref, each in hosts.items():
                pem = str(await call("host.get_server_certificate", ref))
                fingerprint_of_pem(pem)
                members.append(Member(each["uuid"], each["address"], pem))
            rights = await missing_rights(call, session)
    finally:
        await rpc(https, "session.logout", [session], LOGIN_TIMEOUT_S)
    version = coordinator["software_version"]
    return Introduction(
        pool_id=pool["uuid"],
        display_name=pool["name_label"] or coordinator["name_label"],
        product=f"{version.get('product_brand', '')} {version.get('product_version', '')}".strip(),
        coordinator=coordinator["uuid"],
        members=tuple(members),
        missing_rights=rights,
    )


def _nobody_at(host: str, port: int, error: Exception) -> Unavailable:
    return Unavailable(
        f"No host of a pool answers at {host}, port {port} ({error}).",
        reason="POOL_UNREACHABLE",
        hint="Check the address, that the host is up and the network is open. Without a port it is 443.",
    )


def _split(address: str) -> tuple[str, int]:
    """host and port of ``host``, ``host:port``, ``[v6]:port`` or a bare IPv6 address."""
    host, colon, port = address.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = address, str(HTTPS_PORT)
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidInput(
            f"{address!r} is not the address of a host.",
            reason="ADDRESS_INVALID",
            hint="Give host or host:port, for example 192.0.2.10 or xen1.example.org:443.",
        )
    return host, int(port)


def _untrusted(supporter: str, coordinator: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{supporter} is not the coordinator of its pool ({coordinator} is) and is too old to vouch for it.",
        reason="COORDINATOR_UNTRUSTED",
        hint=f"Add the pool by {coordinator} after comparing that host's certificate.",
        metadata={"coordinator": coordinator},
    )
