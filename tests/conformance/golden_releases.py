"""The recordings of 23.1 on pools of other releases: what no lifecycle explains goes as it was recorded.

Nothing is known of other releases but what the data model says: which classes, fields, calls and parameters
they have. Everything else is taken to be as in 23.1, and is held to it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.simulator.model.schema import Model, load_model
from tests.conformance.releases import RELEASES
from tests.conformance.report import Skip, Tally
from tests.contract.simulator.replay import recordings
from tests.contract.simulator.stage import Story, Verdict, on_stage, play
from tests.contract.simulator.stories import STORIES

_METHOD = re.compile(r'<methodName>(?:Async\.)?([^<]*)<|"method": *"(?:Async\.)?([^"]*)"')
_VERSION = re.compile(r"xapi/\d+\.\d+")
_RECORDED = load_model("23.1.0")
NO_STORY = {("8.0", "e_events"): "its story has tasks make progress, which no client of this release can"}
"""By release and recording."""
_NO_RESULTS = "no client of this release sets a task's result"
OTHERWISE = {
    ("8.0", "f_tasks", 8): _NO_RESULTS,
    ("8.0", "f_tasks", 10): _NO_RESULTS,
    ("8.2", "f_tasks", 8): _NO_RESULTS,
    ("8.2", "f_tasks", 10): _NO_RESULTS,
    ("26.17", "i_http_disk", 10): "this release has QCOW2",
}
"""By release, recording and exchange."""


def run(tally: Tally, work_dir: Path, build: Path) -> None:
    """Every story on a pool of each release."""
    for release in RELEASES:
        model = load_model(release)
        for story in STORIES.values():
            _try(tally, release, model, story, work_dir / f"{story.name}-{release}")


def _try(tally: Tally, release: str, model: Model, story: Story, work_dir: Path) -> None:
    title = f"{release} {story.name}"
    if (release, story.name) in NO_STORY:
        tally.skipped.append((title, NO_STORY[release, story.name]))
        return
    requests = {exchange["n"]: exchange["request"] for exchange in recordings(story.name)}
    told = replace(story, pool={**story.pool, "version": release})
    for verdict in asyncio.run(_told(told, work_dir)):
        with tally.check(f"{title} {verdict.number}: {verdict.note}"):
            if verdict.skipped:
                raise Skip(verdict.skipped)
            wrong = {name: pair for name, pair in verdict.wrong.items() if not _agree(*pair)}
            why = OTHERWISE.get((release, story.name, verdict.number)) or _excuse(
                model, requests[verdict.number]
            )
            if wrong and why:
                raise Skip(why)
            assert not wrong, wrong


async def _told(story: Story, work_dir: Path) -> list[Verdict]:
    async with on_stage(story, work_dir) as stage:
        return await play(story, stage)


def _excuse(model: Model, request: Mapping[str, Any]) -> str:
    """What the data model says of the call in this release; "" when it is as it was recorded."""
    match = _METHOD.search(str(request.get("body", "")))
    if match is None:
        return ""
    method = match.group(1) or match.group(2)
    ours = model.messages.get(model.aliases.get(method, method))
    recorded = _RECORDED.messages.get(_RECORDED.aliases.get(method, method))
    if recorded is None or ours == recorded:
        return ""
    if ours is None:
        return "this release does not have the call"
    if ours.removed != recorded.removed:
        return "this release has the call, which was removed later"
    return "" if len(ours.params) == len(recorded.params) else "this release has fewer parameters"


def _agree(recorded: Any, ours: Any) -> bool:
    """Whether two answers are the same but for the fields of records, the tables that are counted, and the
    toolstack's version.
    """
    if isinstance(recorded, dict) and isinstance(ours, dict):
        if "a record of" in recorded and "a record of" in ours:
            return True
        if "a record with" in recorded and "a record with" in ours:
            theirs, mine = recorded["a record with"], ours["a record with"]
            return all(_agree(theirs[field], mine[field]) for field in theirs.keys() & mine.keys())
        names = recorded.keys() - {"counted"}
        return names == ours.keys() - {"counted"} and all(
            _agree(recorded[name], ours[name]) for name in names
        )
    if isinstance(recorded, (list, tuple)) and isinstance(ours, (list, tuple)):
        return len(recorded) == len(ours) and all(map(_agree, recorded, ours))
    if isinstance(recorded, str) and isinstance(ours, str):
        return _VERSION.sub("", recorded) == _VERSION.sub("", ours)
    return bool(recorded == ours)
