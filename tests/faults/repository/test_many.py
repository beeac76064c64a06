"""Ten thousand points and millions of chunks: what a mover holds in memory does not follow them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.injections import Injections
from tests.support.scenarios import THOROUGH

POINTS = 10_000 if THOROUGH else 300
CHUNKS = 3_000_000 if THOROUGH else 100_000
_BUDGET_KIB = 160 << 10


@pytest.mark.scenario(48)
def test_memory_does_not_follow_points_and_chunks(tmp_path: Path, injections: Injections) -> None:
    with injections.one():
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.repository.many_work", tmp_path, str(POINTS), str(CHUNKS)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) < _BUDGET_KIB
