"""The PyPI package XenAPI as a client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conformance import sdk_events, sdk_records, sdk_refusals, sdk_sessions, sdk_tasks
from tests.conformance.pool import RunningPool, running_pool
from tests.conformance.report import Tally
from tests.integration.simulator.pools import PASSWORD


def run(tally: Tally, work_dir: Path, build: Path, **changes: Any) -> None:
    """Every group of checks, in one session where they do not bring their own; ``changes`` to the pool."""
    with running_pool(work_dir, **changes) as pool:
        with logged_in(pool) as session:
            sdk_records.check(tally, session)
            sdk_tasks.check(tally, session)
            sdk_events.check(tally, session, lambda: logged_in(pool))
            sdk_refusals.check(tally, session, lambda: logged_in(pool, "reader"))
        sdk_sessions.check(tally, pool)


@contextmanager
def logged_in(pool: RunningPool, user: str = "root") -> Iterator[Any]:
    with sdk_sessions.opened(pool) as session:
        session.xenapi.login_with_password(user, PASSWORD, "2.20", "conformance")
        yield session
        session.xenapi.session.logout()
