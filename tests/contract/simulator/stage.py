"""A pool on which recordings are played again, and what happened beside the recorded requests."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from services.chassis.clock import SystemClock
from services.simulator.database.row import Row
from services.simulator.pool.pool import Pool
from services.simulator.pool.simulation import Simulation
from tests.contract.simulator.identities import IDENTITY
from tests.contract.simulator.replay import Replay, differences, head_differences, recordings
from tests.integration.simulator.pools import Sdk, describe, running
from tests.support.waiting import PATIENCE_S

HURRY = 10.0
SOON_S = PATIENCE_S
T = TypeVar("T")
_SESSION = re.compile(
    r"session_id=(OpaqueRef:[0-9a-f-]{36})"
    r"|\"params\": *\[\"(OpaqueRef:[0-9a-f-]{36})"
    r"|<params>\s*<param>\s*<value>(?:<string>)?(OpaqueRef:[0-9a-f-]{36})"
)
_TASK = re.compile(r"task_id=(OpaqueRef:[0-9a-f-]{36})")
_TOKEN = re.compile(r"\d{20},(\d{20})")
_STATUS = ("xml", "Value", "a record with", "status")


class HurriedClock(SystemClock):
    """A clock on which waiting takes a tenth of the time; recordings waited for tens of seconds."""

    def monotonic(self) -> float:
        return super().monotonic() * HURRY

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / HURRY)

    async def wait(self, awaitable: Awaitable[T], seconds: float) -> T:
        return await super().wait(awaitable, seconds / HURRY)


@dataclass(frozen=True)
class Verdict:
    """On one exchange: ``wrong`` is what differed, ``skipped`` why it was not compared."""

    number: int
    note: str
    wrong: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    skipped: str = ""


@dataclass
class Stage:
    """``replay.names`` gives recorded identities ours; ``things`` are the story's own; ``bodies`` and
    ``paths`` those of the recorded requests; ``told`` the identities that a recorded answer shows.
    """

    simulation: Simulation
    replay: Replay
    sdk: Sdk
    things: dict[str, Any] = field(default_factory=dict)
    bodies: dict[int, str] = field(default_factory=dict)
    paths: dict[int, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    @property
    def names(self) -> dict[str, str]:
        return self.replay.names

    async def call(self, method: str, *params: Any) -> Any:
        """As the administrator, in a session of his own."""
        return await self.sdk.call(method, *params)

    def read(self, exchanges: list[dict[str, Any]]) -> None:
        """Look ahead at what will be asked and told."""
        for exchange in exchanges:
            self.bodies[exchange["n"]] = exchange["request"].get("body", "")
            self.paths[exchange["n"]] = exchange["request"].get("path", "")
            made = exchange["response"].get("made", [])
            if not isinstance(made, str):
                self.told.update(identity for identity, _ in made)

    def now(self, exchange: int) -> None:
        """The tokens that an exchange brings, and no answer before it told, mean this moment."""
        for identity in IDENTITY.findall(self.bodies[exchange]):
            if "," in identity and identity not in self.told:
                take_token(self, identity)

    def one(self, cls: str, label: str) -> str:
        """The reference of the only object of that name."""
        (ref,) = [row.ref for row in self.simulation.pool.db.rows(cls) if row["name_label"] == label]
        return ref


Action = Callable[[Stage], Awaitable[Any]]


@dataclass(frozen=True)
class Story:
    """A recording and what it does not tell.

    ``before`` and ``during`` were done before a request, and while it was waiting, by exchange; ``marked``
    are the exchanges whose ``before`` takes the event token itself (``take_token``); ``otherwise`` says
    where and why the simulator answers differently.
    """

    name: str
    prepare: Action
    before: Mapping[int, Action] = field(default_factory=dict)
    during: Mapping[int, Action] = field(default_factory=dict)
    otherwise: Mapping[int, str] = field(default_factory=dict)
    pool: Mapping[str, Any] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def on_stage(story: Story, data_dir: Path) -> AsyncIterator[Stage]:
    """A pool of one host, prepared."""
    async with running(describe(data_dir, **story.pool), HurriedClock()) as simulation:
        port = simulation.pool.description.http_port
        assert port is not None
        sdk = await Sdk(simulation).log_in()
        stage = Stage(simulation, Replay("127.0.0.11", port), sdk)
        stage.read(recordings(story.name))
        try:
            await story.prepare(stage)
            yield stage
        finally:
            sdk.close()


async def play(story: Story, stage: Stage) -> list[Verdict]:
    """Every exchange in order. One with a stub mark is played, because others build on it, and skipped."""
    verdicts = []
    for exchange in recordings(story.name):
        verdicts += await _play(story, stage, exchange)
    return verdicts


async def _play(story: Story, stage: Stage, exchange: dict[str, Any]) -> list[Verdict]:
    """One verdict; two when the head of an answer can be compared and its content cannot."""
    number, note = exchange["n"], exchange["note"]
    if "body_truncated" in exchange["request"] or "body_same_as" in exchange["request"]:
        return [Verdict(number, note, skipped="the recording does not have the whole request")]
    await _introduce(stage, exchange)
    if number in story.before:
        await story.before[number](stage)
    await _follow(stage, exchange)
    beside = asyncio.create_task(_beside(story, stage, number))
    try:
        answer = await stage.replay.send(exchange)
    except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, ValueError) as error:
        wrong = {"answer": (exchange["response"]["status"], repr(error))}
        skipped = story.otherwise.get(number, "")
        return [Verdict(number, note, {} if skipped else wrong, skipped)]
    finally:
        await beside
    stage.replay.learn(exchange, answer)
    if number in story.otherwise:
        return [Verdict(number, note, skipped=story.otherwise[number])]
    if "stub" in exchange:
        content = Verdict(number, note, skipped=f"stand-in in the recording: {exchange['stub']}")
        if exchange["request"]["path"] == "/RPC2":
            return [content]
        return [Verdict(number, f"{note}: head", head_differences(exchange, answer)), content]
    wrong = differences(exchange, answer)
    ours = _status(wrong["body"][1]) if "body" in wrong else None
    if _status(exchange["response"].get("summary")) == "pending" and ours not in (None, "pending"):
        return [Verdict(number, note, skipped="the task is over sooner here than it was recorded")]
    return [Verdict(number, note, wrong)]


async def _beside(story: Story, stage: Stage, number: int) -> None:
    if number in story.during:
        await stage.simulation.pool.clock.sleep(1.0)
        await story.during[number](stage)


async def _introduce(stage: Stage, exchange: dict[str, Any]) -> None:
    """Sessions, tasks and tokens that the recording takes for granted."""
    text = str(exchange["request"].get("path")) + str(exchange["request"].get("body"))
    for match in _SESSION.finditer(text):
        ref = next(filter(None, match.groups()))
        if ref not in stage.names and not ref.startswith("OpaqueRef:00000000"):
            stage.names[ref] = await _new_session(stage)
    for match in _TASK.finditer(text):
        if match.group(1) not in stage.names:
            stage.names[match.group(1)] = await stage.call("task.create", "client task", exchange["note"])
    for identity in IDENTITY.findall(text):
        if "," in identity and identity not in stage.names and identity not in exchange["note"]:
            take_token(stage, identity)


def take_token(stage: Stage, recorded: str) -> None:
    """The moment that a recorded token names is now."""
    pool = stage.simulation.pool
    messages = pool.db.newest(["message"])
    match = _TOKEN.fullmatch(recorded)
    assert match is not None
    if int(match.group(1)) == 0:
        messages = 0
    stage.names[recorded] = f"{pool.db.generation:020d},{messages:020d}"


async def _new_session(stage: Stage) -> str:
    pool = stage.simulation.pool
    return await pool.sessions.log_in(pool.coordinator.ref, "root", "xenroot", "")


async def _follow(stage: Stage, exchange: dict[str, Any]) -> None:
    """A task that was over when it was recorded must be over here too."""
    if _status(exchange["response"].get("summary")) in (None, "pending") and not _tells_result(exchange):
        return
    pool = stage.simulation.pool
    ours = [stage.names.get(name) for name in IDENTITY.findall(exchange["request"].get("body", ""))]
    tasks = [row for row in (pool.db.find("task", ref) for ref in ours if ref) if row is not None]
    with contextlib.suppress(TimeoutError):  # the difference will tell
        await _over(pool, lambda: tasks)


async def nothing_runs(stage: Stage) -> None:
    """Returns when no task of a call runs any more; for tasks whose recorded end is a stand-in's."""
    await _over(stage.simulation.pool, lambda: stage.simulation.pool.db.rows("task"))


async def _over(pool: Pool, tasks: Callable[[], Iterable[Row]]) -> None:
    changed = asyncio.Event()
    forget = pool.db.listen(lambda change: changed.set())
    try:
        async with asyncio.timeout(SOON_S):
            while any(
                task["status"] == "pending" and task["name_label"].startswith("Async.") for task in tasks()
            ):
                changed.clear()
                await changed.wait()
    finally:
        forget()


def _tells_result(exchange: dict[str, Any]) -> bool:
    """Whether a later exchange needs what the recorded task made, even if its content is a stand-in's."""
    made = exchange["response"].get("made", [])
    return not isinstance(made, str) and any("result" in path for _, path in made)


def _status(summary: Any) -> Any:
    """Of a task's record."""
    for name in _STATUS:
        if not isinstance(summary, dict) or name not in summary:
            return None
        summary = summary[name]
    return summary
