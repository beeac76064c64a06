"""The home folder: who is where, and with which certificate one may ask.

``xenkeep init`` makes it, ``xenkeep up`` runs from it, every client reads it::

    xenkeep.json          addresses of the services and of NATS, the site's name
    pki/                  the authority and one certificate per service, plus ``admin`` for people
    <service>/            a service's own files, when it runs here
    logs/<service>.log    what it printed
"""

import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Self

from xenkeep.errors import Error

SERVICES = ("hypervisor", "mover", "catalog", "scheduler", "notifier")
IDENTITIES = (*SERVICES, "nats", "admin")
FIRST_PORT = 7101
_PORTS = range(10_000, 32_000)
"""Free ones are looked for here, not among those that outgoing connections get: they come and go."""


@dataclass(frozen=True)
class Home:
    """``addresses`` maps a service to host:port; ``nats_url`` is ``tls://host:port``."""

    path: Path
    site: str
    nats_url: str
    addresses: dict[str, str]

    @classmethod
    def default_path(cls) -> Path:
        """``XENKEEP_HOME``, or ``.xenkeep`` in the user's own folder."""
        return Path(os.environ.get("XENKEEP_HOME") or Path.home() / ".xenkeep")

    @classmethod
    def open(cls, path: Path | None = None) -> Self:
        """Read a home folder; raises Error NotFound when there is none, InvalidInput when it is broken."""
        folder = path or cls.default_path()
        file = folder / "xenkeep.json"
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            return cls(folder, str(data["site"]), str(data["nats"]), dict(data["services"]))
        except FileNotFoundError:
            raise Error(
                "NotFound",
                "HOME_MISSING",
                f"There is no Xenkeep home in {folder}.",
                "Make one with `xenkeep init`, or name another one with XENKEEP_HOME.",
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise Error(
                "InvalidInput", "HOME_UNREADABLE", f"{file} cannot be read: {error}.", "Repair or remove it."
            ) from None

    @classmethod
    def create(cls, path: Path, site: str, *, any_port: bool) -> Self:
        """Write ``xenkeep.json``; one that exists is kept. ``any_port``: free ports instead of 7101 up."""
        file = path / "xenkeep.json"
        if not file.exists():
            ports = (
                _free_ports(len(SERVICES) + 1)
                if any_port
                else [*range(FIRST_PORT, FIRST_PORT + len(SERVICES)), 4222]
            )
            services = {name: f"127.0.0.1:{port}" for name, port in zip(SERVICES, ports, strict=False)}
            data = {"site": site, "nats": f"tls://127.0.0.1:{ports[-1]}", "services": services}
            path.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(".new")
            temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
            temporary.replace(file)
        return cls.open(path)

    def certificate(self, identity: str) -> tuple[Path, Path, Path]:
        """(authority, certificate, key) files of an identity."""
        pki = self.path / "pki"
        return pki / "ca.pem", pki / f"{identity}.pem", pki / f"{identity}.key"


def _free_ports(count: int) -> list[int]:
    """Ports nobody has now. Nobody else is given them as long as this process lives: what shall serve there
    is started a moment later, or again.
    """
    found: list[int] = []
    for port in Random().sample(_PORTS, len(_PORTS)):  # noqa: S311 - a number to try, not a secret
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _claim(port)
            found.append(port)
        if len(found) == count:
            return found
    raise Error(
        "ResourceExhausted",
        "NO_FREE_PORTS",
        f"Fewer than {count} ports of 127.0.0.1 are free.",
        "Stop something, or write the ports into xenkeep.json.",
    )


def _claim(port: int) -> None:
    """By a name in the same network namespace, which goes with this process (unix(7), abstract). Raises
    OSError when somebody has it.
    """
    with socket.socket(socket.AF_UNIX) as claim:
        claim.bind(f"\0xenkeep-port-{port}")
        claim.detach()
