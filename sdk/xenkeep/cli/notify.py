"""``xenkeep notify``."""

from pathlib import Path
from typing import Annotated

import typer

from xenkeep.cli.channel_file import ChannelFile
from xenkeep.cli.files import read
from xenkeep.cli.output import Json, console, details, last_part, moment, show, show_all, show_data, word
from xenkeep.cli.session import client
from xenkeep.errors import Error
from xenkeep.notifier.v1 import notifier_pb2

app = typer.Typer(help="Who is told what, and how.", no_args_is_help=True)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="YAML file with one channel.")], json_: Json = False
) -> None:
    """Make the channel a file describes."""
    wanted = read(file, ChannelFile, "channel").to_proto()
    with client() as xenkeep:
        channel = xenkeep.channels.create(wanted)
    show(
        channel,
        lambda: details([("Channel", last_part(channel.name)), ("Where", _where(channel))]),
        json_=json_,
    )


@app.command()
def channels(json_: Json = False) -> None:
    """List the channels."""
    with client() as xenkeep:
        show_all(
            xenkeep.channels.list(),
            ("CHANNEL", "WHERE", "FROM", "EVENTS"),
            lambda each: (
                last_part(each.name),
                _where(each),
                word(notifier_pb2.Severity, each.minimum_severity),
                ", ".join(each.event_types) or "all",
            ),
            json_=json_,
        )


@app.command()
def remove(name: str, json_: Json = False) -> None:
    """Remove a channel."""
    with client() as xenkeep:
        xenkeep.channels.remove(f"channels/{last_part(name)}")
    if json_:
        show_data({"removed": f"channels/{last_part(name)}"})
    else:
        console.print(f"Removed channel {last_part(name)}.")


@app.command()
def test(name: str, json_: Json = False) -> None:
    """Send a test message through a channel and say what the peer answered."""
    with client() as xenkeep:
        delivery = xenkeep.channels.test(f"channels/{last_part(name)}")
    show(delivery, lambda: details(_lines(delivery)), json_=json_)
    if delivery.state != notifier_pb2.Delivery.STATE_DELIVERED:
        raise Error("Unavailable", "DELIVERY_FAILED", f"{name} did not take the message: {delivery.message}")


@app.command()
def deliveries(
    channel: Annotated[str, typer.Option(help="Only of this channel.")] = "", json_: Json = False
) -> None:
    """List what was sent, newest first."""
    with client() as xenkeep:
        show_all(
            xenkeep.channels.deliveries(f"channels/{last_part(channel)}" if channel else ""),
            ("WHEN", "CHANNEL", "TO", "STATE", "TRIES", "SUBJECT", "ANSWER"),
            lambda each: (
                moment(each.create_time),
                last_part(each.channel),
                each.recipient,
                word(notifier_pb2.Delivery.State, each.state),
                str(each.attempts),
                each.subject,
                each.message,
            ),
            json_=json_,
        )


def _where(channel: notifier_pb2.Channel) -> str:
    kind = channel.WhichOneof("sink")
    if kind == "syslog":
        transport = word(notifier_pb2.SyslogSink.Transport, channel.syslog.transport)
        return f"syslog {channel.syslog.host}:{channel.syslog.port} ({transport})"
    if kind == "email":
        return f"email to {', '.join(channel.email.recipients)} through {channel.email.host}"
    return f"SMS to {', '.join(channel.sms.recipients)} through {channel.sms.host}"


def _lines(delivery: notifier_pb2.Delivery) -> list[tuple[str, str]]:
    return [
        ("Channel", last_part(delivery.channel)),
        ("State", word(notifier_pb2.Delivery.State, delivery.state)),
        ("Subject", delivery.subject),
        ("Answer", delivery.message),
    ]
