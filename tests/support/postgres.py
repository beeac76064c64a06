"""A real PostgreSQL from the system's binaries, one per session; without them a skip that says so."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port


def _binaries() -> Path | None:
    found = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    return Path(found).resolve().parent if found else None


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """SQLAlchemy URL of an empty database ``xenkeep``."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: no initdb on PATH or in /usr/lib/postgresql")
    run_as: list[str] = []
    directory = Path(tempfile.mkdtemp(prefix="xenkeep-postgres-"))
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = next((name for name in ("postgres", "nobody") if _exists(name)), "")
        run_as = [
            "setpriv",
            f"--reuid={user}",
            f"--regid={pwd.getpwnam(user).pw_gid}",
            "--clear-groups",
            "--",
        ]
        shutil.chown(directory, user)
    data, port = directory / "data", free_port()

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [*run_as, str(binaries / program), *arguments], check=True, capture_output=True, cwd="/"
        )

    run("initdb", "-D", str(data), "-A", "trust", "-U", "xenkeep", "-E", "UTF8", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={directory}"
    run("pg_ctl", "-D", str(data), "-w", "-l", str(directory / "log"), "-o", options, "start")
    try:
        run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "xenkeep", "xenkeep")
        yield f"postgresql+asyncpg://xenkeep@127.0.0.1:{port}/xenkeep"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(directory)


@pytest.fixture(scope="module")
def empty_database(postgres_url: str) -> str:
    """SQLAlchemy URL of a database that no other module uses."""
    return _made(postgres_url)


@pytest.fixture
def fresh_database(postgres_url: str) -> str:
    """SQLAlchemy URL of a database that no other test uses."""
    return _made(postgres_url)


def _made(postgres_url: str) -> str:
    binaries = _binaries()
    assert binaries is not None
    server, _, _ = postgres_url.rpartition("/")
    name = f"xenkeep_{uuid.uuid4().hex}"
    port = server.rpartition(":")[2]
    subprocess.run(
        [str(binaries / "createdb"), "-h", "127.0.0.1", "-p", port, "-U", "xenkeep", name],
        check=True,
        capture_output=True,
    )
    return f"{server}/{name}"


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
