"""Commands to a running pool, over its control socket."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToJson
from xenkeep.simulator.v1 import simulator_pb2 as pb
from xenkeep.simulator.v1.simulator_pb2_grpc import SimulatorServiceStub

TIMEOUT_S = 600.0
_HOST_COMMANDS = {
    "kill-host": ("KillHost", pb.KillHostRequest, "a host loses power"),
    "revive-host": ("ReviveHost", pb.ReviveHostRequest, "a dead host boots"),
    "designate": ("DesignateCoordinator", pb.DesignateCoordinatorRequest, "a host becomes coordinator"),
    "restart-toolstack": ("RestartToolstack", pb.RestartToolstackRequest, "sessions and tasks are gone"),
    "cut": ("CutConnections", pb.CutConnectionsRequest, "all connections of a host break"),
}


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """``state``, ``hash-disk`` and one command for each failure of a host."""
    state = _command(commands, "state", "say what there is")
    state.set_defaults(action=_sender("GetState", lambda arguments: pb.GetStateRequest()))
    for name, (method, request, text) in _HOST_COMMANDS.items():
        parser = _command(commands, name, text)
        parser.add_argument("host", help="uuid or name")
        parser.set_defaults(action=_sender(method, _of_host(request)))
    hashing = _command(commands, "hash-disk", "SHA-256 of a disk")
    hashing.add_argument("disk", help="uuid")
    hashing.set_defaults(
        action=_sender("HashDisk", lambda arguments: pb.HashDiskRequest(disk_id=arguments.disk))
    )


def _of_host(request: Callable[..., Any]) -> Callable[[argparse.Namespace], Any]:
    return lambda arguments: request(host=arguments.host)


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text)
    parser.add_argument(
        "--control", type=Path, required=True, metavar="SOCKET", help="control socket of the pool"
    )
    return parser


def _sender(method: str, request: Callable[[argparse.Namespace], Any]) -> Callable[[argparse.Namespace], int]:
    def send(arguments: argparse.Namespace) -> int:
        with grpc.insecure_channel(f"unix:{arguments.control.absolute()}") as channel:
            try:
                answer = getattr(SimulatorServiceStub(channel), method)(request(arguments), timeout=TIMEOUT_S)
            except grpc.RpcError as error:
                sys.stderr.write(f"{error.details()}\n")
                return 1
        sys.stdout.write(f"{MessageToJson(answer, always_print_fields_with_no_presence=True)}\n")
        return 0

    return send
