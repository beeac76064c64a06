"""The story, scene by scene."""

import asyncio
import logging
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

from xenkeep.client import Client
from xenkeep.demo import backups, failures, guests, losses, pool, restores, told
from xenkeep.demo.peers import peers
from xenkeep.demo.pool import Guest, PoolControl
from xenkeep.demo.stage import Report, Stage, stopwatch
from xenkeep.errors import Error
from xenkeep.local.setup import init
from xenkeep.local.stack import stack

MIB = 1 << 20
GIB = 1 << 30
SEED = 20260101


def play(report_file: Path, *, keep: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Play all scenes and write the report; with ``keep`` everything runs on until Ctrl-C."""
    folder = Path(mkdtemp(prefix="xenkeep-demo-"))
    report, elapsed = Report(), stopwatch()
    logging.getLogger("smpp-app").setLevel(logging.ERROR)
    logs = report_file.parent / "logs"
    try:
        return asyncio.run(_play(folder, report, elapsed, report_file, keep=keep, say=say))
    finally:
        shutil.rmtree(logs, ignore_errors=True)
        shutil.copytree(folder / "home" / "logs", logs)
        shutil.rmtree(folder, ignore_errors=True)


async def _play(
    folder: Path,
    report: Report,
    elapsed: Callable[[], float],
    report_file: Path,
    *,
    keep: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    pool_password, passphrase = secrets.token_urlsafe(12), secrets.token_urlsafe(24)

    def scene(text: str) -> None:
        say(f"[{elapsed():5.1f} s] {text}")

    scene("1. Three hosts, a shared SR, four VMs with real ext4 disks")
    cast = await asyncio.to_thread(_guests, folder, Random(SEED))  # noqa: S311 - a story, not a secret
    async with _theatre(folder, cast, pool_password, report, say) as stage:
        try:
            scene("2. The pool is added, its certificate pinned")
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
            scene("7a. The catalog's database is deleted")
            await losses.lose_catalog(stage)
            scene("7b. One bit of the repository flips")
            await losses.damage_repository(stage)
            scene("8. Who was told")
            await told.count_messages(stage)
        except Error as error:
            stage.check(False, f"the story broke off: {error}")
        data = report.write(report_file, elapsed())
        held = "Everything held" if data["ok"] else "NOT everything held"
        scene(f"{held}. Report: {report_file}; logs: {report_file.parent / 'logs'}")
        if keep:
            await _keep_running(stage)
    return data


@asynccontextmanager
async def _theatre(
    folder: Path, cast: list[Guest], password: str, report: Report, say: Callable[[str], None]
) -> AsyncIterator[Stage]:
    home = await asyncio.to_thread(init, folder / "home", "demo", any_port=True)
    description = pool.description(folder, cast, password, https_port=pool.HTTPS_PORT, nbd_port=pool.NBD_PORT)

    def quietly(line: str) -> None:
        if "ended" in line or "killed" in line:
            say(f"    {line}")

    async with peers(home) as got, stack(home, quietly) as supervisor:
        await supervisor.start(pool.program(description))
        control = PoolControl(folder / "control.sock")
        with Client(home) as client:
            yield Stage(folder, client, control, supervisor, got, cast, Random(SEED + 1), report, say)  # noqa: S311
        control.close()


def _guests(folder: Path, rng: Random) -> list[Guest]:
    def disk(name: str, size_bytes: int, payload_bytes: int) -> guests.GuestDisk:
        return guests.make_disk(folder, name, size_bytes, payload_bytes, rng)

    return [
        Guest("web", "host-1", [disk("web", GIB, 110 * MIB)], "bios"),
        Guest("db", "host-2", [disk("db-0", GIB, 70 * MIB), disk("db-1", 512 * MIB, 60 * MIB)], "uefi"),
        Guest("app", "host-3", [disk("app", GIB, 80 * MIB)], "bios"),
        Guest("files", "host-2", [disk("files", 20 * GIB, 60 * MIB)], "uefi"),
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
