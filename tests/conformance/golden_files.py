"""Recorded NBD connections, disks, XVAs and metadata: their own tests, counted one by one."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

from tests.conformance.report import Skip, Tally

SUITES = (
    "tests/contract/simulator/test_nbd_recordings.py",
    "tests/contract/simulator/test_storage_recordings.py",
    "tests/contract/simulator/test_metadata_recordings.py",
    "tests/integration/simulator/test_xva.py",
)
TIMEOUT_S = 300.0


def check(tally: Tally) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--junit-xml=/dev/stdout",
        *SUITES,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    document = done.stdout[
        done.stdout.index("<?xml") : done.stdout.rindex("</testsuites>") + len("</testsuites>")
    ]
    for case in ElementTree.fromstring(document).iter("testcase"):
        with tally.check(f"{case.get('classname', '').rpartition('.')[2]}: {case.get('name')}"):
            skipped, failure = case.find("skipped"), case.find("failure")
            if skipped is not None:
                raise Skip(skipped.get("message", "no reason given"))
            if failure is None:
                failure = case.find("error")
            assert failure is None, failure.get("message")
