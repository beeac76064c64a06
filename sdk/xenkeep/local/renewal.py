"""Certificates of a running stack: issued again in good time, and read by NATS, which has to be told.

Services look at their files for every connection. Whoever renews does it in the home folder, by
``xenkeep init`` or from here, so only the files are watched.
"""

import asyncio
import signal
from collections.abc import Callable

from xenkeep.errors import Error
from xenkeep.home import Home
from xenkeep.local.setup import init
from xenkeep.local.supervisor import Supervisor

LOOK_SECONDS = 30.0
ISSUE_SECONDS = 12 * 3600.0


async def keep_renewed(
    home: Home,
    supervisor: Supervisor,
    notify: Callable[[str], None],
    *,
    look_seconds: float = LOOK_SECONDS,
    issue_seconds: float = ISSUE_SECONDS,
) -> None:
    """Go on until cancelled. That a certificate could not be issued is told, and tried again."""
    loop = asyncio.get_running_loop()
    seen, due = _state(home), loop.time() + issue_seconds
    while True:
        await asyncio.sleep(look_seconds)
        if loop.time() >= due:
            due = loop.time() + issue_seconds
            try:
                await asyncio.to_thread(init, home.path, home.site)
            except Error as error:
                notify(f"certificates were not renewed: {error.message} {error.hint}")
        if (state := _state(home)) != seen:
            seen = state
            supervisor.signal("nats", signal.SIGHUP)
            notify("nats reads its renewed certificate")


def _state(home: Home) -> list[tuple[int, int]]:
    found = [file.stat() for file in home.certificate("nats") if file.exists()]
    return [(each.st_ino, each.st_mtime_ns) for each in found]
