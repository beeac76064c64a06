"""Keys leave the memory of a process when the repository is closed: looked for, byte by byte."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import gc, json, sys
from pathlib import Path
from services.mover.repository import DirectoryStore
from tests.support.own_memory import copies_of, masked
from tests.unit.repository.world import MIB, back_up, new_repository, noise, reopen, restored

folder = Path(sys.argv[1])
new_repository(DirectoryStore(folder / "repository", create=True), folder / "cache").close()
repository = reopen(DirectoryStore(folder / "repository"), folder / "cache")
back_up(repository, "a", noise(2 * MIB))
restored(repository, "a")
keys = repository._context.keys
secrets = {"root key": masked(keys._root), "data key": masked(keys._data_keys[1])}
while_open = copies_of(secrets)
repository.close()
gc.collect()
print(json.dumps([while_open, copies_of(secrets)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_no_key_is_in_memory_when_a_repository_is_closed(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, f"{root}/sdk"])}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    while_open, closed = json.loads(said)

    assert while_open["root key"] and while_open["data key"]
    assert {"root key": 0, "data key": 0} == closed
