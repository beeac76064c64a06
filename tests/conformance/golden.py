"""Recordings of a real toolstack as a client: every exchange sent again, every answer compared."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.conformance import golden_files
from tests.conformance.report import Skip, Tally
from tests.contract.simulator.stage import Story, Verdict, on_stage, play
from tests.contract.simulator.stories import STORIES


def run(tally: Tally, work_dir: Path, build: Path) -> None:
    """Every story on a pool of its own, then what was recorded of NBD and of files."""
    for story in STORIES.values():
        for verdict in asyncio.run(_told(story, work_dir)):
            with tally.check(f"{story.name} {verdict.number}: {verdict.note}"):
                if verdict.skipped:
                    raise Skip(verdict.skipped)
                assert not verdict.wrong, verdict.wrong
    golden_files.check(tally)


async def _told(story: Story, work_dir: Path) -> list[Verdict]:
    async with on_stage(story, work_dir / story.name) as stage:
        return await play(story, stage)
