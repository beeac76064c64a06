"""The SDK and xen-api again, as clients of pools of other releases than the recorded one."""

from __future__ import annotations

from pathlib import Path

from tests.conformance import node, sdk
from tests.conformance.report import Skip, Tally

RELEASES = ("8.0", "8.2", "24.19", "26.17")
CLIENTS = {"sdk": sdk.run, "xen-api": node.xen_api}


def run(tally: Tally, work_dir: Path, build: Path) -> None:
    """Their checks, by release."""
    for release in RELEASES:
        for name, client in CLIENTS.items():
            place = work_dir / f"{name}-{release}"
            place.mkdir()
            part = Tally(name)
            try:
                client(part, place, build, version=release)
            except Skip as skip:
                part.skipped.append(("the whole client", str(skip)))
            tally.passed += [f"{release} {name}: {check}" for check in part.passed]
            tally.failed += [(f"{release} {name}: {check}", reason) for check, reason in part.failed]
            tally.skipped += [(f"{release} {name}: {check}", reason) for check, reason in part.skipped]
