"""Commands to a running pool, over its control socket."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToJson
from xenkeep.simulator.v1 import simulator_pb2 as pb
from xenkeep.simulator.v1.simulator_pb2_grpc import SimulatorServiceStub

TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Argument:
    """``field`` of the request; ``flag`` makes it an option that is either there or not, ``optional`` one
    with a value.
    """

    field: str
    help: str
    kind: Callable[[str], Any] = str
    flag: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Command:
    """One call of ``SimulatorService``."""

    name: str
    method: str
    help: str
    arguments: Sequence[Argument] = ()

    def request(self, arguments: argparse.Namespace) -> Any:
        values = {argument.field: getattr(arguments, argument.field) for argument in self.arguments}
        given = {field: value for field, value in values.items() if value is not None}
        return getattr(pb, f"{self.method}Request")(**given)


def _moment(text: str) -> int:
    """Raises ``ValueError``."""
    return pb.LoseChangedBlockTrackingRequest.Moment.Value(f"MOMENT_{text.upper()}")


HOST = Argument("host", "uuid or name of the host")
VM = Argument("vm", "uuid or name of the VM")
DISK = Argument("disk_id", "uuid of the disk")
STORAGE = Argument("storage", "uuid or name of the storage repository")
COMMANDS = (
    Command("state", "GetState", "say what there is"),
    Command("kill-host", "KillHost", "a host loses power",
            [HOST, Argument("silently", "packets to it vanish; otherwise connections are reset", flag=True)]),
    Command("revive-host", "ReviveHost", "a dead host boots", [HOST]),
    Command("silence-host", "SilenceHost", "packets from and to a host vanish, connections stall",
            [HOST, Argument("to_its_pool", "the other hosts do not hear it either", flag=True)]),
    Command("hear-host", "HearHost", "a silent host is heard again, connections go on", [HOST]),
    Command("designate", "DesignateCoordinator", "a host becomes coordinator", [HOST]),
    Command("seize", "SeizeCoordinator", "a host that lost its coordinator becomes it", [HOST]),
    Command("split", "SplitPool", "a host takes the place of a coordinator that leads on",
            [HOST, Argument("stay", "who follows the former one on: uuids or names with commas between",
                            lambda text: text.split(","), optional=True)]),
    Command("recover-supporters", "RecoverSupporters",
            "others that lost it, or follow a former one, follow the new one"),
    Command("set-ha", "SetHighAvailability", "switch high availability on or off",
            [Argument("enabled", "on; otherwise off", flag=True)]),
    Command("migrate", "MigrateVm", "a running VM goes to another host", [VM, HOST]),
    Command("restart-toolstack", "RestartToolstack", "sessions and tasks are gone", [HOST]),
    Command("cut", "CutConnections", "all connections of a host break",
            [HOST, Argument("after_bytes", "in the middle: each after so many more", int, optional=True)]),
    Command("replace-certificate", "ReplaceCertificate", "a host gets a new certificate", [HOST]),
    Command("expire-sessions", "ExpireSessions", "everybody was idle for too long"),
    Command("hash-disk", "HashDisk", "SHA-256 of a disk", [DISK]),
    Command("lose-cbt", "LoseChangedBlockTracking", "a disk's changed blocks are forgotten",
            [DISK, Argument("moment", "not now but at its next snapshot or resize", _moment, optional=True)]),
    Command("attach-guest", "AttachGuest", "serve a running VM's disk on a socket, writable",
            [DISK, Argument("socket_path", "the socket to make", lambda text: str(Path(text).absolute()))]),
    Command("detach-guest", "DetachGuest", "take a disk from its guest", [DISK]),
    Command("attach-machine", "AttachMachine", "let a QEMU run as a running VM; prints its arguments",
            [VM, Argument("folder", "where to make the sockets", lambda text: str(Path(text).absolute()))]),
    Command("migrate-disk", "MigrateDisk", "move a running VM's disk", [DISK, STORAGE]),
    Command("resize-storage", "ResizeStorage", "more or less room in a storage repository",
            [STORAGE, Argument("size_bytes", "what there is from now on", int)]),
    Command("fail-snapshot", "FailSnapshot", "the VM's next snapshot breaks off",
            [VM, Argument("after_disks", "how many disks are made before", int)]),
    Command("set-shutdown", "SetShutdown", "how a guest takes a request to shut down",
            [VM, Argument("delay_milliseconds", "how long it takes", int),
             Argument("refused", "it does not stop", flag=True)]),
    Command("set-suspend", "SetSuspend", "how a guest takes a request to suspend",
            [VM, Argument("refused", "it does not sleep", flag=True),
             Argument("reason", "why it says that it cannot", optional=True)]),
    Command("limit-link", "SetLinkSpeed", "how fast a host sends and receives",
            [HOST, Argument("bytes_per_second", "0 is as fast as it can", int)]),
    Command("copy-disk", "CopyDisk", "a disk's contents as a raw, sparse file",
            [DISK, Argument("path", "the file to make", lambda text: str(Path(text).absolute()))]),
    Command("restrict", "SetRestriction", "withhold a feature of the licence, or give it back",
            [Argument("name", "such as restrict_cbt"),
             Argument("restricted", "withhold it", flag=True)]),
    Command("hold-migrations", "HoldMigrations", "storage migrations do not arrive any more, or again",
            [Argument("held", "they stop when their disks are copied", flag=True)]),
    Command("stall-coalescing", "StallCoalescing", "chains are not merged any more, or again",
            [STORAGE, Argument("stalled", "the garbage collector hangs", flag=True)]),
    Command("run-workload", "RunWorkload", "write to a running VM's disk by a script",
            [DISK, Argument("seed", "where places and contents come from", int),
             Argument("writes", "how many writes", int),
             Argument("write_bytes", "size of each, a multiple of 512", int, optional=True)]),
    Command("forget-deletions", "ForgetDeletions", "older event tokens miss what was deleted",
            [Argument("class_name", "such as VM")]),
)  # fmt: skip


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Every one of ``COMMANDS``, each with ``--control``."""
    for command in COMMANDS:
        parser = commands.add_parser(command.name, help=command.help)
        parser.add_argument(
            "--control", type=Path, required=True, metavar="SOCKET", help="control socket of the pool"
        )
        for argument in command.arguments:
            if argument.flag:
                parser.add_argument(f"--{argument.field}", action="store_true", help=argument.help)
            elif argument.optional:
                parser.add_argument(f"--{argument.field}", type=argument.kind, help=argument.help)
            else:
                parser.add_argument(argument.field, type=argument.kind, help=argument.help)
        parser.set_defaults(action=_sender(command))


def _sender(command: Command) -> Callable[[argparse.Namespace], int]:
    def send(arguments: argparse.Namespace) -> int:
        with grpc.insecure_channel(f"unix:{arguments.control.absolute()}") as channel:
            call = getattr(SimulatorServiceStub(channel), command.method)
            try:
                answer = call(command.request(arguments), timeout=TIMEOUT_S)
            except grpc.RpcError as error:
                sys.stderr.write(f"{error.details()}\n")
                return 1
        sys.stdout.write(f"{MessageToJson(answer, always_print_fields_with_no_presence=True)}\n")
        return 0

    return send
