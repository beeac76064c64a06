"""Certificates of a home folder: renewed under a running NATS, and until when they are good."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner
from xenkeep.certificates import NOTICE, ending, ends
from xenkeep.cli.main import app
from xenkeep.errors import Error
from xenkeep.home import IDENTITIES, SERVICES, Home
from xenkeep.local import processes
from xenkeep.local.renewal import keep_renewed
from xenkeep.local.setup import init
from xenkeep.local.supervisor import Supervisor

from services.chassis import pki
from services.chassis.clock import FakeClock, SystemClock

NOW = SystemClock().now()
IN_TEN_DAYS = FakeClock(NOW + timedelta(days=10) - pki.CERTIFICATE_LIFE)
"""What is issued at this time is good for ten days more."""


def certificate(home: Home, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(home.certificate(name)[1].read_bytes())


def issue_late(home: Home, name: str) -> None:
    """Issue a certificate that ends in ten days."""
    pki.issue(home.path / "pki", name, clock=IN_TEN_DAYS, renew=True)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[tuple[Home, Supervisor]]:
    home = init(tmp_path / "home", "lab", any_port=True)
    issue_late(home, "nats")
    supervisor = Supervisor(tmp_path / "logs", print)
    await supervisor.start(processes.nats(home))
    yield home, supervisor
    await supervisor.stop()


async def shown_by_nats(home: Home, wanted: x509.Certificate) -> bool:
    found = await asyncio.to_thread(ends, home)
    return found["nats"] == wanted.not_valid_after_utc


async def test_nats_shows_what_was_renewed_without_a_restart(running: tuple[Home, Supervisor]) -> None:
    home, supervisor = running
    pid, told = supervisor.pid("nats"), asyncio.Event()
    assert await shown_by_nats(home, certificate(home, "nats"))

    keeper = asyncio.create_task(
        keep_renewed(home, supervisor, lambda _: told.set(), look_seconds=0.01, issue_seconds=0.01)
    )
    await told.wait()
    keeper.cancel()

    assert certificate(home, "nats").not_valid_after_utc - NOW > timedelta(days=800)
    while not await shown_by_nats(home, certificate(home, "nats")):
        continue
    assert pid == supervisor.pid("nats")


async def test_what_cannot_be_renewed_is_told_and_tried_again(running: tuple[Home, Supervisor]) -> None:
    home, supervisor = running
    said: asyncio.Queue[str] = asyncio.Queue()
    (home.path / "pki" / "ca.key").rename(home.path / "aside")

    keeper = asyncio.create_task(
        keep_renewed(home, supervisor, said.put_nowait, look_seconds=0.01, issue_seconds=0.01)
    )
    assert "certificates were not renewed" in await said.get()
    (home.path / "aside").rename(home.path / "pki" / "ca.key")
    while "nats reads its renewed certificate" not in await said.get():
        continue
    keeper.cancel()


def test_init_renews_all_certificates_for_the_same_keys_and_names(tmp_path: Path) -> None:
    home = init(tmp_path, "lab", hosts=("backup.example",))
    before = {name: (certificate(home, name), home.certificate(name)[2].read_bytes()) for name in IDENTITIES}

    init(tmp_path, "lab")
    assert {name: old for name, (old, _) in before.items()} == {
        name: certificate(home, name) for name in IDENTITIES
    }
    init(tmp_path, "lab", renew=True)

    for name, (old, key) in before.items():
        new = certificate(home, name)
        assert old.serial_number != new.serial_number
        assert key == home.certificate(name)[2].read_bytes()
        assert names(old) == names(new)


def test_a_certificate_that_ends_soon_keeps_its_names_when_it_is_issued_again(tmp_path: Path) -> None:
    home = init(tmp_path, "lab", hosts=("backup.example",))
    issue_late(home, "mover")

    init(tmp_path, "lab")

    assert certificate(home, "mover").not_valid_after_utc - NOW > timedelta(days=800)
    assert "backup.example" in names(certificate(home, "mover"))


def names(of: x509.Certificate) -> set[str]:
    found = of.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(found.get_values_for_type(x509.DNSName))


def test_only_what_ends_within_the_notice_is_named() -> None:
    found = {"mover": NOW + NOTICE, "nats": NOW + NOTICE - timedelta(seconds=1), "catalog": None}

    assert {"nats": found["nats"]} == ending(found, NOW)


def test_status_says_until_when_and_gives_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs: what is not reached has no date, and the administrator's own certificate has one."""
    home = init(tmp_path, "lab", any_port=True)
    issue_late(home, "admin")
    monkeypatch.setenv("XENKEEP_HOME", str(tmp_path))
    lines: list[str] = []
    monkeypatch.setattr("xenkeep.cli.local.complaints.print", lines.append)

    result = CliRunner().invoke(app, ["status", "--json"])

    assert isinstance(result.exception, Error)
    assert dict.fromkeys(SERVICES) == {
        name: each["certificate_end_time"] for name, each in json.loads(result.output).items()
    }
    assert f"admin on {NOW + timedelta(days=10):%Y-%m-%d}" in lines[0]
