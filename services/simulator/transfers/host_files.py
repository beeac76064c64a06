"""GET /host_backup and PUT /host_restore (xapi: ocaml/xapi/xapi_host_backup.ml): a control domain's files."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from services.simulator.failure import XapiFailure
from services.simulator.http.exchange import Exchange
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool, disk_work
from services.simulator.transfers.access import Transfer, admitted
from services.simulator.transfers.stream import PIECE, received, send

_OPEN = [("Connection", "keep-alive"), ("Cache-Control", "no-cache, no-store")]
INVENTORY = "etc/xensource-inventory"
_LIBRARIES = 3 * 1024 * 1024
"""Bytes of what every host has; enough for more than one piece."""


class HostBackup:
    """A tar of the root file system, until the connection ends. It holds the host's key."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def handle(self, exchange: Exchange) -> None:
        name, label = "get_host_backup", "Host backup"
        async with admitted(self._pool, self._host, exchange, name, label) as transfer:
            await exchange.begin(_OPEN)
            archive = await disk_work(_archive, self._files())
            for start in range(0, len(archive), PIECE):
                await send(transfer, archive[start : start + PIECE])

    def _files(self) -> Mapping[str, bytes]:
        row = self._pool.db.row("host", self._host.ref)
        leader = self._pool.coordinator
        led = self._host is leader
        inventory = {
            "INSTALLATION_UUID": self._host.uuid,
            "CONTROL_DOMAIN_UUID": self._pool.db.row("VM", row["control_domain"])["uuid"],
            "PRODUCT_VERSION": row["software_version"]["product_version"],
            "MANAGEMENT_INTERFACE": "xenbr0",
            "PRIMARY_DISK": "/dev/sda",
        }
        return {
            INVENTORY: "".join(f"{key}='{value}'\n" for key, value in inventory.items()).encode(),
            "etc/hostname": f"{row['hostname']}\n".encode(),
            "etc/xensource/pool.conf": ("master" if led else f"slave:{leader.address}").encode(),
            "etc/xensource/xapi-ssl.pem": self._host.certificate.path.read_bytes(),
            "etc/xapi.conf.d/host.json": json.dumps(dict(row["software_version"])).encode(),
            "usr/lib/locale/locale-archive": bytes(_LIBRARIES),
        }


class AuditLog:
    """GET /audit_log: what administrators did, by role-based access control; here nobody keeps it."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def handle(self, exchange: Exchange) -> None:
        async with admitted(self._pool, self._host, exchange, "get_audit_log", "Audit log"):
            await exchange.begin([*_OPEN, ("content-type", "text/plain")])


class HostRestore:
    """Takes a backup and lays it ready for the installer, which puts it in place at the next boot."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def handle(self, exchange: Exchange) -> None:
        name, label = "put_host_restore", "Host restore"
        async with admitted(self._pool, self._host, exchange, name, label) as transfer:
            await exchange.begin(_OPEN)
            staged = self._pool.data_dir / f"backup-partition-{self._host.name}.tar"
            await self._receive(transfer, staged)
            await disk_work(_check, staged)

    async def _receive(self, transfer: Transfer, target: Path) -> None:
        with target.open("wb") as file:
            async for piece in received(transfer, transfer.exchange.head.content_length):
                await disk_work(file.write, piece)


def _archive(files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def _check(staged: Path) -> None:
    """Raises ``RESTORE_SCRIPT_FAILED`` for what is no backup of a host; it is not kept."""
    try:
        with tarfile.open(staged) as archive:
            archive.getmember(INVENTORY)
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        staged.unlink(missing_ok=True)
        raise XapiFailure("RESTORE_SCRIPT_FAILED", f"not a backup of a host: {error}") from error
