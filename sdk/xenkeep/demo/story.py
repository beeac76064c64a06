"""The story, scene by scene."""

import asyncio
import logging
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Any

from xenkeep.client import Client
from xenkeep.demo import backups, failures, guests, losses, pool, restores, summary, told
from xenkeep.demo.peers import peers
from xenkeep.demo.pool import Guest, PoolControl
from xenkeep.demo.stage import Report, Stage, stopwatch
from xenkeep.errors import Error
from xenkeep.local.setup import init
from xenkeep.local.stack import stack
from xenkeep.working_folder import WorkingFolder

MIB = 1 << 20
GIB = 1 << 30
SEED = 20260101
DISKS = (
    ("web", GIB, 110 * MIB),
    ("db-0", GIB, 70 * MIB),
    ("db-1", 512 * MIB, 60 * MIB),
    ("app", GIB, 80 * MIB),
    ("files", 20 * GIB, 60 * MIB),
)
"""Name, virtual size, bytes of files on it."""
PROLOGUE = (
    "This is the story of a XenServer pool whose backups survive what happens to it. The pool is simulated:",
    "three hosts on 127.0.0.11 to 13 that speak XenAPI, HTTPS and NBD over TLS. The rest is what you would",
    "run: NATS, five services, a repository; and syslog, mail and SMS servers that are told.",
)


def play(report_file: Path, *, keep: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Play all scenes and write the report; with ``keep`` everything runs on until Ctrl-C.

    Raises Error when this machine cannot play it: tools, ports or addresses that are missing.
    """
    elapsed = stopwatch()
    report_file.unlink(missing_ok=True)
    guests.require_tools()
    working = WorkingFolder("xenkeep-demo-", lambda left: say(f"Removed {left}, of a demo that was killed."))
    logging.getLogger("smpp-app").setLevel(logging.ERROR)
    for line in PROLOGUE:
        say(line)
    with working as folder:
        say(f"Everything lies in {folder.path} and is removed at the end.")
        try:
            return asyncio.run(_play(folder.path, elapsed, report_file, keep=keep, say=say))
        finally:
            _keep_logs(folder.path / "home" / "logs", report_file.parent / "logs")


async def _play(
    folder: Path, elapsed: Callable[[], float], report_file: Path, *, keep: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    pool_password, passphrase = secrets.token_urlsafe(12), secrets.token_urlsafe(24)

    def scene(text: str) -> None:
        say(f"[{elapsed():5.1f} s] {text}")

    scene("1. Three hosts, a shared SR, four VMs with real ext4 disks; NATS and the five services start")
    async with _theatre(folder, pool_password, say) as stage:
        try:
            scene("2. The pool is added by one of its supporters, its certificate pinned")
            await asyncio.to_thread(backups.add_pool, stage, pool_password)
            await asyncio.to_thread(backups.make_policy, stage, passphrase)
            await asyncio.to_thread(told.make_channels, stage)
            scene("3. A policy backs all four up, in parallel")
            await backups.first_run(stage)
            scene("4. The guests change; the second run reads only that")
            await backups.second_run(stage)
            scene("5a. A host dies in the middle of a run")
            await failures.host_dies(stage)
            scene("5b. The coordinator dies in the middle of a run")
            await failures.coordinator_dies(stage)
            scene("6. Two VMs come back as they were at the second run")
            await restores.restore(stage)
            scene("7a. The catalog's database is deleted; the repository is enough to make it again")
            await losses.lose_catalog(stage)
            scene("7b. One bit of the repository flips")
            await losses.damage_repository(stage)
            scene("8. Who was told")
            await told.count_messages(stage)
        except Error as error:
            stage.check(False, f"the story broke off: {error}")
        data = stage.report.write(report_file, elapsed())
        _epilogue(stage, data, report_file, scene)
        if keep:
            await _keep_running(stage)
    return data


def _epilogue(stage: Stage, data: dict[str, Any], report_file: Path, scene: Callable[[str], None]) -> None:
    stage.say("")
    for line in summary.lines(stage.report.details["vms"]):
        stage.say(f"    {line}")
    stage.say("")
    for failed in stage.report.failed:
        stage.say(f"    FAIL {failed}")
    held = "Everything held" if data["ok"] else "NOT everything held"
    scene(f"{held}. Report: {report_file}; logs: {report_file.parent / 'logs'}")


def _keep_logs(logs: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    if logs.exists():
        shutil.copytree(logs, target)


@asynccontextmanager
async def _theatre(folder: Path, password: str, say: Callable[[str], None]) -> AsyncIterator[Stage]:
    """The disks are made while the services start."""
    making = asyncio.create_task(_guests(folder))
    home = await asyncio.to_thread(init, folder / "home", "demo", any_port=True)

    def quietly(line: str) -> None:
        if "ended" in line or "killed" in line:
            say(f"    {line}")

    async with peers(home) as got, stack(home, quietly) as supervisor:
        cast = await making
        https_port, nbd_port = pool.free_port(pool.FIRST_HTTPS_PORT), pool.free_port(pool.FIRST_NBD_PORT)
        description = pool.description(folder, cast, password, https_port=https_port, nbd_port=nbd_port)
        await supervisor.start(pool.program(description))
        with Client(home) as client, closing(PoolControl(folder / "control.sock")) as control:
            rng, report = Random(SEED), Report()  # noqa: S311 - a story, not a secret
            yield Stage(folder, client, control, supervisor, got, cast, rng, report, say, https_port)


async def _guests(folder: Path) -> list[Guest]:
    await asyncio.to_thread(guests.find_files)
    disks = await asyncio.gather(
        *(
            asyncio.to_thread(guests.make_disk, folder, name, size, payload, Random(f"{SEED} {name}"))  # noqa: S311
            for name, size, payload in DISKS
        )
    )
    web, db_0, db_1, app, files = disks
    return [
        Guest("web", "host-1", [web], "bios"),
        Guest("db", "host-2", [db_0, db_1], "uefi"),
        Guest("app", "host-3", [app], "bios"),
        Guest("files", "host-2", [files], "uefi"),
    ]


async def _keep_running(stage: Stage) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    home = stage.client.home.path
    stage.say("")
    stage.say("Everything keeps running. In another terminal:")
    stage.say(f"  export XENKEEP_HOME={home}")
    stage.say("  .venv/bin/xenkeep status")
    stage.say("  .venv/bin/xenkeep point list")
    stage.say("  .venv/bin/xenkeep backup web --to demo --wait")
    stage.say("Ctrl-C stops everything and removes it.")
    await stopped.wait()
