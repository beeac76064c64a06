import os
import subprocess
import sys
from pathlib import Path

import pytest

SERVICE = """
from services.chassis.core_dumps import forbid_core_dumps
forbid_core_dumps()
"""
COMMAND = """
import contextlib, io, sys
from xenkeep.cli.main import main
sys.argv = ["xenkeep", "--help"]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
"""
DIES = """
import ctypes, os, resource
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)
os.abort()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
@pytest.mark.parametrize("began", [SERVICE, COMMAND], ids=["service", "command"])
def test_a_process_that_holds_keys_dies_without_a_core(began: str, tmp_path: Path) -> None:
    """Not even where dumps are piped to a program, which the limit does not keep from it."""
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, f"{root}/sdk"])}
    command = [sys.executable, "-c", began + DIES]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, env=environment, text=True)
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.read()
    _, status, _ = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)

    assert "(0, 0) 0\n" == said
    assert os.WIFSIGNALED(status)
    assert not os.WCOREDUMP(status)
    assert [] == list(tmp_path.iterdir())
