"""npm packages as clients, in Node processes that tell check by check what they see."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xenkeep.simulator.v1 import simulator_pb2 as pb

from tests.conformance.pool import RunningPool, running_pool
from tests.conformance.report import Skip, Tally
from tests.integration.simulator.pools import PASSWORD

SOURCE = Path(__file__).parent / "node"
OLD_SOURCE = Path(__file__).parent / "node_old"
INSTALL_TIMEOUT_S = 300.0
RUN_TIMEOUT_S = 120.0


def xen_api(tally: Tally, work_dir: Path, build: Path, **changes: Any) -> None:
    """Raises ``Skip`` without node, npm, or the packages; ``changes`` to the pool."""
    _run("xen_api.mjs", tally, work_dir, build, **changes)


def xen_api_old(tally: Tally, work_dir: Path, build: Path) -> None:
    """Raises ``Skip`` without node, npm, or the package."""
    for release in ("8.2", "26.17"):
        place, part = work_dir / release, Tally(release)
        place.mkdir()
        _run("xen_api_old.mjs", part, place, build, OLD_SOURCE, version=release)
        tally.passed += [f"{release}: {name}" for name in part.passed]
        tally.failed += [(f"{release}: {name}", reason) for name, reason in part.failed]


def nbd_client(tally: Tally, work_dir: Path, build: Path) -> None:
    """Raises ``Skip`` without node, npm, or the packages."""
    _run("nbd_client.mjs", tally, work_dir, build)


def _run(name: str, tally: Tally, work_dir: Path, build: Path, source: Path = SOURCE, **changes: Any) -> None:
    place = installed(build, source).parent
    for program in (source / name, SOURCE / "talk.mjs"):
        shutil.copyfile(program, place / program.name)
    with running_pool(work_dir, **changes) as pool:
        _talk(tally, pool, place / name)


def installed(build: Path, source: Path = SOURCE) -> Path:
    """The folder of the packages, installed as the lock file says unless they are there."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise Skip(f"{tool} is not installed")
    place = (build / source.name).absolute()
    lock = (source / "package-lock.json").read_text("utf-8")
    stamp = place / "installed.json"
    if not stamp.exists() or stamp.read_text("utf-8") != lock:
        place.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(source / name, place / name)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
        if done.returncode:
            raise Skip(f"npm cannot install what the clients are: {done.stderr.strip().splitlines()[-1]}")
        stamp.write_text(lock, "utf-8")
    return place / "node_modules"


def _talk(tally: Tally, pool: RunningPool, program: Path) -> None:
    """Carry out the client's orders and count its checks, until it is done or out of time."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(["node", str(program)], stdin=pipe, stdout=pipe, text=True)
    overdue = threading.Timer(RUN_TIMEOUT_S, process.kill)
    overdue.start()
    done = False
    try:
        assert process.stdin is not None and process.stdout is not None
        _send(process, {"url": f"https://{pool.address}", "password": PASSWORD, "second": pool.hosts[1]})
        for line in process.stdout:
            message = json.loads(line)
            if "order" in message:
                obey(pool, message["order"])
                _send(process, {})
            elif message.get("done"):
                done = True
            elif message["failure"] is None:
                tally.passed.append(message["name"])
            else:
                tally.failed.append((message["name"], message["failure"]))
    finally:
        overdue.cancel()
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
    if not done:
        tally.failed.append(("the program", "it ended before its last check, or took too long"))


def _send(process: subprocess.Popen[str], message: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def obey(pool: RunningPool, order: dict[str, Any]) -> None:
    """Do to the pool what the client asks for."""
    orders: dict[str, Callable[[], object]] = {
        "expire": lambda: pool.control.ExpireSessions(pb.ExpireSessionsRequest()),
        "designate": lambda: pool.control.DesignateCoordinator(
            pb.DesignateCoordinatorRequest(host=order["designate"])
        ),
        "forget": lambda: pool.control.ForgetDeletions(pb.ForgetDeletionsRequest(class_name=order["forget"])),
        "cut": lambda: pool.control.CutConnections(
            pb.CutConnectionsRequest(
                host=order["cut"],
                kind=pb.CutConnectionsRequest.KIND_NBD,
                after_bytes=order.get("after", 0),
            )
        ),
        "kill": lambda: pool.control.KillHost(pb.KillHostRequest(host=order["kill"])),
        "shutdown": lambda: pool.control.SetShutdown(
            pb.SetShutdownRequest(vm=order["shutdown"], delay_milliseconds=order["delay"])
        ),
    }
    (name,) = set(order) & set(orders)
    orders[name]()
