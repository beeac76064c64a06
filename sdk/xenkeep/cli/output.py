"""What a command prints: a table for people, the protobuf JSON mapping for scripts."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from typing import Annotated, Any, TextIO

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

from xenkeep.common.v1 import capture_pb2

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

PIPE_COLUMNS = 1000
"""Nobody looks at a pipe: what goes into one is not folded, so that it can be searched."""


def _console(stream: TextIO) -> Console:
    """Names come from pools and files: nothing in them is markup, or an emoji (``:AB:`` in a fingerprint)."""
    width = None if stream.isatty() else PIPE_COLUMNS
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=width)


console = _console(sys.stdout)
complaints = _console(sys.stderr)


def as_data(message: Message) -> dict[str, Any]:
    """The protobuf JSON mapping with the names of the contract; 64-bit integers are strings in it."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def show(message: Message, human: Callable[[], RenderableType], *, json_: bool) -> None:
    """Print one resource."""
    if json_:
        show_data(as_data(message))
    else:
        console.print(human())


def show_all(
    messages: Iterable[Message], columns: Sequence[str], row: Callable[[Any], Sequence[str]], *, json_: bool
) -> None:
    """Print many resources: an array, or a table with ``columns`` whose rows ``row`` makes."""
    items = list(messages)
    if json_:
        show_data([as_data(item) for item in items])
    else:
        console.print(table(columns, map(row, items)))


def complain(notice: capture_pb2.Notice) -> None:
    """Where a script that reads the output is not disturbed."""
    complaints.print(printable(f"Notice: {notice.message}"))


def show_data(data: object) -> None:
    """Print plain data as JSON."""
    typer.echo(json.dumps(data, indent=2))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A plain table; an empty one still shows what would be in it."""
    made = Table(*columns, box=box.SIMPLE_HEAD)
    for row in rows:
        made.add_row(*map(printable, row))
    return made


def details(rows: Iterable[tuple[str, str]]) -> Table:
    """A resource as lines of name and value; empty values are left out."""
    made = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        if value:
            made.add_row(name, printable(value))
    return made


def printable(text: str) -> str:
    """``text`` without characters that would command the terminal; U+FFFD in their place."""
    return "".join(
        char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def size(number: int) -> str:
    """A size for a person, in binary units: ``1.5 GiB``."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def moment(time: Timestamp) -> str:
    """A time in the zone of the person who looks, to the second; nothing for none."""
    if not time.seconds:
        return ""
    return time.ToDatetime(UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def last_part(name: str) -> str:
    """The id of a resource name."""
    return name.rpartition("/")[2]


def short(name: str) -> str:
    """The first characters of a resource's UUID, as commands understand them."""
    return last_part(name)[:8]


def word(enum: Any, number: int) -> str:
    """An enum value without its prefix: ``running``; nothing for unspecified."""
    if number == 0:
        return ""
    prefix = _prefix(enum)
    return str(enum.Name(number)).removeprefix(prefix).lower().replace("_", " ")


def level(number: int, reason: int) -> str:
    """``incremental``, or ``full`` with the reason."""
    text = word(capture_pb2.Level, number)
    why = word(capture_pb2.FullReason, reason)
    return f"{text} ({why})" if why else text


def _prefix(enum: Any) -> str:
    return str(enum.Name(0)).removesuffix("UNSPECIFIED")
