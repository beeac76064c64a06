"""Logging in and out. A log-out of everybody comes last: it ends every other session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import XenAPI
from xenkeep.simulator.v1 import simulator_pb2 as pb

from tests.conformance.pool import RunningPool
from tests.conformance.report import Tally
from tests.integration.simulator.pools import PASSWORD


def check(tally: Tally, pool: RunningPool) -> None:
    for extra in ((), ("2.20",), ("2.20", "conformance")):
        with tally.check(f"a login with {2 + len(extra)} arguments"), opened(pool) as session:
            session.xenapi.login_with_password("root", PASSWORD, *extra)
            record = session.xenapi.session.get_record(session.handle)
            assert record["auth_user_name"] == "root"
            assert record["originator"] == (extra[1] if len(extra) > 1 else "")
            assert record["this_host"] in session.xenapi.host.get_all()
            session.xenapi.session.logout()
    with tally.check("a wrong password is refused by name"), opened(pool) as session:
        failure = _login_refused(session, "wrong")
        assert failure[:2] == ["SESSION_AUTHENTICATION_FAILED", "root"]
    with tally.check("a supporter names the coordinator, whatever the password"), opened(pool, 2) as session:
        for password in (PASSWORD, "wrong"):
            assert _login_refused(session, password) == ["HOST_IS_SLAVE", pool.hosts[0]]
    with tally.check("after the logout the session is invalid"), opened(pool) as session:
        session.xenapi.login_with_password("root", PASSWORD)
        handle = session.handle
        session.xenapi.session.logout()
        answer = session.VM.get_all(handle)  # past the SDK, which would log in again
        assert answer["ErrorDescription"] == ["SESSION_INVALID", handle]
    with tally.check("an expired session is logged in again by the SDK"), opened(pool) as session:
        session.xenapi.login_with_password("root", PASSWORD, "2.20", "conformance")
        handle = session.handle
        pool.control.ExpireSessions(pb.ExpireSessionsRequest())
        assert session.xenapi.pool.get_all()
        assert session.handle != handle
    with tally.check("API_version is the coordinator's"), opened(pool) as session:
        session.xenapi.login_with_password("root", PASSWORD)
        (host,) = [record["master"] for record in session.xenapi.pool.get_all_records().values()]
        about = session.xenapi.host.get_record(host)
        expected = f"{about['API_version_major']}.{about['API_version_minor']}"
        assert session.API_version == expected


@contextmanager
def opened(pool: RunningPool, host: int = 1) -> Iterator[Any]:
    session = XenAPI.Session(f"https://{pool.hosts[host - 1]}:{pool.port}", ignore_ssl=True)
    try:
        yield session
    finally:
        session("close")()


def _login_refused(session: Any, password: str) -> list[str]:
    try:
        session.xenapi.login_with_password("root", password)
    except XenAPI.Failure as failure:
        return list(failure.details)
    raise AssertionError("the login was accepted")
