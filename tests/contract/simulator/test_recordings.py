"""The simulator answers as a real xapi 23.1 did.

The recordings are in ``golden``; their answers are kept as summaries (``summaries.py``), and what was done
beside the recorded requests is told by stories (``stories.py``).
"""

from pathlib import Path

import pytest

from services.simulator.pool.simulation import Simulation
from tests.contract.simulator.replay import recordings
from tests.contract.simulator.stage import on_stage, play
from tests.contract.simulator.stories import STORIES
from tests.integration.simulator.conftest import simulation

__all__ = ["simulation"]


@pytest.mark.parametrize("name", STORIES)
async def test_every_exchange_goes_as_it_was_recorded(name: str, tmp_path: Path) -> None:
    async with on_stage(STORIES[name], tmp_path / "pool") as stage:
        verdicts = await play(STORIES[name], stage)
    assert [(verdict.number, verdict.note, verdict.wrong) for verdict in verdicts if verdict.wrong] == []
    assert len({verdict.number for verdict in verdicts}) == len(recordings(name))


async def test_records_have_the_fields_of_the_recorded_ones(simulation: Simulation) -> None:
    missing = {
        cls: (set(fields) ^ set(simulation.pool.model.classes[cls].fields))
        for cls, fields in recorded_fields().items()
    }
    assert {cls: difference for cls, difference in missing.items() if difference} == {}


def recorded_fields() -> dict[str, list[str]]:
    """Of every class that a recorded answer shows a record of."""
    fields: dict[str, list[str]] = {}
    for exchange in recordings("c_jsonrpc"):
        value = exchange["response"].get("summary")
        result = value.get("json", {}).get("result") if isinstance(value, dict) else None
        method = exchange["request"].get("body", "").partition('"method": "')[2].partition('"')[0]
        cls, _, name = method.partition(".")
        if name == "get_all_records" and isinstance(result, dict) and "records, each of" in result:
            fields[cls] = result["records, each of"]["a record of"]
    return fields
