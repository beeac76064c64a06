"""Let independent clients try the simulator, and count what they say of it.

``python -m tests.conformance [client ...]``: all clients without names. The exit status is 1 when one found
a fault.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.conformance.clients import CLIENTS, try_client
from tests.conformance.report import table, write_json

BUILD = Path("build") / "conformance"


def main(names: list[str]) -> int:
    """The clients ``names``, or all; unknown names are answered with the known ones."""
    if unknown := [name for name in names if name not in CLIENTS]:
        print(f"no client is called {', '.join(unknown)}; there are {', '.join(CLIENTS)}")
        return 2
    tallies = []
    for name in names or CLIENTS:
        with tempfile.TemporaryDirectory() as work_dir:
            tallies.append(try_client(name, Path(work_dir), BUILD))
    write_json(BUILD / "report.json", tallies)
    print(table(tallies))
    return int(any(tally.failed for tally in tallies))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
