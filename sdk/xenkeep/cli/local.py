"""Everything on this machine: ``init``, ``up``, ``demo``, ``status``."""

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from xenkeep import certificates
from xenkeep.cli.output import Json, complaints, console, show_data, table
from xenkeep.cli.session import client, home_path
from xenkeep.errors import Error
from xenkeep.home import SERVICES
from xenkeep.local.setup import init as make_home
from xenkeep.local.stack import stack


def init(
    site: Annotated[str, typer.Option(help="Name of this site.")] = "home",
    host: Annotated[
        list[str] | None, typer.Option(help="Name or address of this machine that others will use; repeat.")
    ] = None,
    renew: Annotated[
        bool, typer.Option(help="Issue all certificates again, from the same keys; nothing is stopped.")
    ] = False,
    json_: Json = False,
) -> None:
    """Make the home folder: addresses, a certificate authority and a certificate for each service."""
    home = make_home(home_path(), site, hosts=tuple(host or ()), renew=renew)
    if json_:
        show_data(
            {"home": str(home.path), "site": home.site, "nats": home.nats_url, "services": home.addresses}
        )
    else:
        console.print(f"Xenkeep home: {home.path} (site {home.site}). Start everything with `xenkeep up`.")


def up(json_: Json = False) -> None:
    """Run NATS and all services on this machine until Ctrl-C; what dies is started again.

    State is kept in SQLite files; with XENKEEP_DATABASE_URL (or XENKEEP_DATABASE_URL_FILE) in PostgreSQL.
    """
    home = make_home(home_path(), "home")

    async def serve() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        async with stack(home, _say(json_=json_)):
            _say(json_=json_)("ready; Ctrl-C stops everything")
            await stopped.wait()

    asyncio.run(serve())


def demo(
    keep: Annotated[bool, typer.Option(help="Leave everything running at the end.")] = False,
    report: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("build/demo/report.json"),
    json_: Json = False,
) -> None:
    """Run the whole story on this machine: a simulated pool, backups, failures, restores, checks."""
    from xenkeep.demo.story import play  # its peers are an optional extra: only this command needs them

    data = play(report, keep=keep, say=_say(json_=json_))
    if json_:
        show_data(data)
    if not data["ok"]:
        raise Error("Internal", "DEMO_FAILED", "A check of the demo failed.", f"See {report}.")


def status(json_: Json = False) -> None:
    """Say how each service is doing, and until when its certificate is good."""
    with client() as xenkeep:
        states = {name: xenkeep.health(name) for name in SERVICES}
        addresses = xenkeep.home.addresses
        ends = certificates.ends(xenkeep.home)
    if json_:
        show_data(
            {
                name: {"address": addresses[name], "state": state, "certificate_end_time": _iso(ends[name])}
                for name, state in states.items()
            }
        )
    else:
        rows = [(name, addresses[name], state, _day(ends[name])) for name, state in states.items()]
        console.print(table(("SERVICE", "ADDRESS", "STATE", "CERTIFICATE UNTIL"), rows))
        others = [f"{name} {_day(end)}" for name, end in ends.items() if name not in SERVICES]
        console.print(f"Other certificates until: {', '.join(others)}")
    if soon := certificates.ending(ends, datetime.now(UTC)):
        complaints.print(
            f"Certificates end soon: {', '.join(f'{name} on {_day(end)}' for name, end in soon.items())}. "
            "Renew them with `xenkeep init --renew` where the authority is kept, "
            "or with `docker compose up` for containers."
        )
    silent = [name for name, state in states.items() if state != "serving"]
    if silent:
        raise Error(
            "Unavailable",
            "SERVICE_DOWN",
            f"Not serving: {', '.join(silent)}.",
            "Start them with `xenkeep up`.",
        )


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "unknown"


def _say(*, json_: bool) -> Callable[[str], None]:
    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    def keep_quiet(_line: str) -> None:
        return

    return keep_quiet if json_ else say
