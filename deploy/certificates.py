"""The one-shot ``init`` of docker-compose.yml: an authority, and for each a folder with only what it needs.

``/pki/authority`` keeps the keys; only this container mounts it. ``/pki/<service>`` gets ``ca.pem``,
``cert.pem`` and ``key.pem``, and that of NATS ``authorization.conf`` too: what the bearer of each certificate
may do there. ``/pki/admin`` is a home folder for a client outside. Each is a volume of its own. It runs at
every ``up``: what stands is kept, what expires soon is issued again from the same key, and a run that was
killed is completed by the next one.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xenkeep.home import IDENTITIES, SERVICES
from xenkeep.local.nats_config import authorization

from services.chassis import files, pki
from services.chassis.bus import subjects
from services.chassis.config import load, option
from services.chassis.errors import XenkeepError

PKI = Path("/pki")


@dataclass(frozen=True, kw_only=True)
class InitConfig:
    """How clients outside reach the containers."""

    site: str = field(default="home", metadata=option("name of this site"))
    public_host: str = field(
        default="127.0.0.1", metadata=option("name or address of this machine, as clients outside see it")
    )
    nats_port: int = field(default=4222, metadata=option("published port"))
    hypervisor_port: int = field(default=7101, metadata=option("published port"))
    mover_port: int = field(default=7102, metadata=option("published port"))
    catalog_port: int = field(default=7103, metadata=option("published port"))
    scheduler_port: int = field(default=7104, metadata=option("published port"))
    notifier_port: int = field(default=7105, metadata=option("published port"))

    def address(self, service: str) -> str:
        """host:port at which clients outside find ``service``."""
        host = f"[{self.public_host}]" if ":" in self.public_host else self.public_host
        return f"{host}:{getattr(self, f'{service}_port')}"


def main(environment: Mapping[str, str], root: Path = PKI) -> int:
    try:
        config = load(InitConfig, environment)
        hand_out(root, config)
    except (XenkeepError, OSError) as error:
        sys.stderr.write(f"The certificates could not be made: {error}\n")
        return 1
    sys.stdout.write(f"Certificates for {', '.join(IDENTITIES)} are in place.\n")
    return 0


def hand_out(root: Path, config: InitConfig) -> None:
    """Issue what is missing into ``root/authority``; copy to each its own. Raises XenkeepError, OSError."""
    users = authorization(subjects.token(config.site))
    authority = root / "authority"
    pki.create_authority(authority)
    for name in IDENTITIES:
        pki.issue(authority, name, [config.public_host])
    for name in (*SERVICES, "nats"):
        _give(authority, name, root / name, certificate="cert.pem", key="key.pem")
    files.replace(root / "nats" / "authorization.conf", users.encode())
    admin = root / "admin"
    _give(authority, "admin", admin / "pki", certificate="admin.pem", key="admin.key")
    files.replace(admin / "xenkeep.json", _home(config))


def _give(authority: Path, name: str, folder: Path, *, certificate: str, key: str) -> None:
    # A key never changes, so whatever is killed between these, the certificate fits the key beside it.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.replace(folder / key, (authority / f"{name}.key").read_bytes())
    files.replace(folder / certificate, (authority / f"{name}.pem").read_bytes())
    files.replace(folder / "ca.pem", (authority / "ca.pem").read_bytes())


def _home(config: InitConfig) -> bytes:
    data = {
        "site": config.site,
        "nats": f"tls://{config.address('nats')}",
        "services": {name: config.address(name) for name in SERVICES},
    }
    return f"{json.dumps(data, indent=2)}\n".encode()


if __name__ == "__main__":
    sys.exit(main(os.environ))
