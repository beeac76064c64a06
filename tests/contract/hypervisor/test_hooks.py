"""The law of ports.guests.Hooks, against a real server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.chassis.clock import SystemClock
from services.chassis.errors import InvalidInput
from services.hypervisor.adapters.https_hooks import HttpsHooks
from services.hypervisor.domain.capture import Hook, Moment
from tests.support.hypervisor_hooks import HookServer, hook_server
from tests.support.pki import tls_for

BODY = {"vm": "pools/p/vms/v", "moment": "BEFORE_SNAPSHOT", "source": "pools/p/backupSources/s"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[HookServer]:
    async with hook_server(tls_for(tmp_path / "pki", "hooks")) as running:
        yield running


@pytest.fixture
def hooks(tmp_path: Path) -> HttpsHooks:
    return HttpsHooks(SystemClock(), tls_for(tmp_path / "pki", "hooks").ca)


def _hook(url: str, deadline_s: float = 10.0) -> Hook:
    return Hook(Moment.BEFORE_SNAPSHOT, url, deadline_s)


async def test_it_is_posted_what_there_is_to_say(server: HookServer, hooks: HttpsHooks) -> None:
    assert "" == await hooks.call(_hook(server.url("/ok?token=1")), BODY)
    assert [("/ok?token=1", BODY)] == server.called


@pytest.mark.parametrize("status", ["400 Bad Request", "500 Internal Server Error"])
async def test_an_answer_that_is_no_success_is_told(
    server: HookServer, hooks: HttpsHooks, status: str
) -> None:
    server.answers["/bad"] = status
    assert status.split()[0] in await hooks.call(_hook(server.url("/bad")), BODY)


async def test_no_redirect_is_followed(server: HookServer, hooks: HttpsHooks) -> None:
    for number, target in enumerate(("http://localhost/", server.url("/other"))):
        server.answers[f"/{number}"] = f"302 Found\r\nLocation: {target}"
        assert "redirect" in await hooks.call(_hook(server.url(f"/{number}")), BODY)
    assert ["/0", "/1"] == [path for path, _ in server.called]


async def test_who_does_not_answer_in_time_has_failed(server: HookServer, hooks: HttpsHooks) -> None:
    server.silent.add("/slow")
    assert "within 0.3 s" in await hooks.call(_hook(server.url("/slow"), 0.3), BODY)


async def test_a_certificate_nobody_vouches_for_is_not_trusted(server: HookServer, tmp_path: Path) -> None:
    for ca in (None, tls_for(tmp_path / "other", "hooks").ca):
        told = await HttpsHooks(SystemClock(), ca).call(_hook(server.url("/x?token=hidden")), BODY)
        assert "not trusted" in told and "hidden" not in told
    assert [] == server.called


async def test_the_name_in_the_certificate_counts(server: HookServer, hooks: HttpsHooks) -> None:
    url = f"https://localhost.localdomain.invalid:{server.port}/"
    assert "cannot be reached" in await hooks.call(_hook(url), BODY)


async def test_a_server_that_is_gone_has_failed(hooks: HttpsHooks) -> None:
    assert "cannot be reached" in await hooks.call(_hook("https://127.0.0.1:1/"), BODY)


def test_authorities_that_cannot_be_read_are_complained_about_at_once(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for ca in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(InvalidInput, match=ca.name):
            HttpsHooks(SystemClock(), ca)
