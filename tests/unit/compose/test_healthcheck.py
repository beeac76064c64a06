"""The health check asks a real server over mutual TLS."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from services.chassis import healthcheck
from services.chassis.rpc.server import RpcServer
from tests.support.pki import tls_for


def environment(directory: Path, port: int, name: str = "mover") -> dict[str, str]:
    tls = tls_for(directory, name)
    return {
        "XENKEEP_LISTEN": f"0.0.0.0:{port}",
        "XENKEEP_TLS_CA": str(tls.ca),
        "XENKEEP_TLS_CERT": str(tls.cert),
        "XENKEEP_TLS_KEY": str(tls.key),
    }


async def test_a_service_that_serves_is_healthy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with RpcServer("127.0.0.1:0", tls_for(tmp_path, "mover"), [], grace=timedelta(0)) as server:
        code = await asyncio.to_thread(healthcheck.main, environment(tmp_path, server.port))
    assert 0 == code
    assert "SERVING" == capsys.readouterr().out.splitlines()[-1]


async def test_another_authoritys_certificate_is_not_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healthcheck, "TIMEOUT_S", 0.5)
    async with RpcServer(
        "127.0.0.1:0", tls_for(tmp_path / "ours", "mover"), [], grace=timedelta(0)
    ) as server:
        code = await asyncio.to_thread(healthcheck.main, environment(tmp_path / "theirs", server.port))
    assert 1 == code
    assert "SERVING" not in capsys.readouterr().out


def test_nobody_listening_is_unhealthy_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healthcheck, "TIMEOUT_S", 0.2)
    assert 1 == healthcheck.main(environment(tmp_path, 1))
    out = capsys.readouterr().out
    assert "localhost:1 did not answer" in out
    assert 1 == out.count("\n")


def test_a_missing_configuration_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == healthcheck.main({})
    assert "XENKEEP_TLS_CA is missing" in capsys.readouterr().out
