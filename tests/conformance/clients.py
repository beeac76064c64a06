"""The clients, by the name in the report."""

from collections.abc import Callable
from pathlib import Path

from tests.conformance import (
    ansible_modules,
    curl,
    golden,
    golden_releases,
    nbd_tools,
    node,
    releases,
    sdk,
    xva_img,
)
from tests.conformance.report import Skip, Tally

CLIENTS: dict[str, Callable[[Tally, Path, Path], None]] = {
    "golden": golden.run,
    "xenapi-sdk": sdk.run,
    "xen-api": node.xen_api,
    "nbd-client": node.nbd_client,
    "nbd-tools": nbd_tools.run,
    "curl": curl.run,
    "xen-api-old": node.xen_api_old,
    "xva-img": xva_img.run,
    "releases": releases.run,
    "golden-releases": golden_releases.run,
    "ansible": ansible_modules.run,
}
"""Each is called with its tally, a directory of its own that is empty, and where tools are installed."""


def try_client(name: str, work_dir: Path, build: Path) -> Tally:
    """All that a client says; a client that is not to be had counts as one skip."""
    tally = Tally(name)
    try:
        CLIENTS[name](tally, work_dir, build)
    except Skip as skip:
        tally.skipped.append(("the whole client", str(skip)))
    return tally
