"""Run a simulated pool, or tell a running one what befalls it."""

import argparse
import asyncio
import contextlib
import gc
import json
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from services.chassis.clock import SystemClock
from services.chassis.ids import RandomIds
from services.simulator.control import cli
from services.simulator.control.server import ControlServer
from services.simulator.nbd.server import NbdServer
from services.simulator.pool.description import PoolDescription, read_description
from services.simulator.pool.simulation import Simulation

USAGE_ERROR = 2


def main() -> None:
    """The console script ``xenkeep-simulator``."""
    gc.freeze()  # what was imported stays: looking at it again would take most of the time of ending
    parser = argparse.ArgumentParser(prog="xenkeep-simulator", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the pool that a YAML or JSON file describes")
    run.add_argument("description", type=Path)
    run.set_defaults(action=_run)
    cli.add_commands(commands)
    arguments = parser.parse_args()
    sys.exit(arguments.action(arguments))


def _run(arguments: argparse.Namespace) -> int:
    try:
        description = read_description(arguments.description)
    except (OSError, ValidationError) as error:
        sys.stderr.write(f"{arguments.description} does not describe a pool: {error}\n")
        return USAGE_ERROR
    try:
        asyncio.run(_serve(description))
    except OSError as error:
        sys.stderr.write(f"The pool cannot start: {error}\n")
        return 1
    return 0


async def _serve(description: PoolDescription) -> None:
    """Until SIGINT or SIGTERM. One line of JSON on standard output says when all hosts answer, and where."""
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    simulation = await Simulation.start(description, SystemClock(), RandomIds(), NbdServer)
    async with contextlib.AsyncExitStack() as running:
        running.push_async_callback(simulation.stop)
        if description.control_socket is not None:
            await running.enter_async_context(ControlServer(simulation.pool, description.control_socket))
        sys.stdout.write(json.dumps(_readiness(simulation)) + "\n")
        sys.stdout.flush()
        await stop.wait()


def _readiness(simulation: Simulation) -> dict[str, object]:
    hosts = simulation.pool.hosts.values()
    return {
        "pool": simulation.pool.description.name,
        "coordinator": simulation.pool.coordinator.address,
        "hosts": [
            {"name": host.name, "address": host.address, "https": host.https_port, "nbd": host.nbd_port}
            for host in hosts
        ],
    }


if __name__ == "__main__":
    main()
