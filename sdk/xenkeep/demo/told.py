"""Scene 8: who was told."""

import asyncio
import shutil
from collections.abc import Callable

from xenkeep.demo.peers import SMS_ACCOUNT
from xenkeep.demo.stage import Stage
from xenkeep.notifier.v1 import notifier_pb2

PATIENCE_SECONDS = 30.0
SMS_PASSWORD_FILE = "sms-password"  # noqa: S105 - a file name


def make_channels(stage: Stage) -> None:
    """Syslog for everything, mail from warnings on, SMS for errors."""
    files = stage.client.home.path / "notifier" / "files"
    files.mkdir(parents=True, exist_ok=True)
    (files / SMS_PASSWORD_FILE).write_text(SMS_ACCOUNT[1], encoding="utf-8")
    (files / SMS_PASSWORD_FILE).chmod(0o600)
    shutil.copy(stage.client.home.certificate("admin")[0], files / "ca.pem")
    syslog = notifier_pb2.SyslogSink(
        host="localhost",
        port=stage.peers.syslog_port,
        transport=notifier_pb2.SyslogSink.TRANSPORT_TLS,
        ca_file="ca.pem",
    )
    email = notifier_pb2.EmailSink(
        host="localhost",
        port=stage.peers.smtp_port,
        sender="xenkeep@demo.example",
        recipients=["admin@demo.example"],
        ca_file="ca.pem",
    )
    sms = notifier_pb2.SmsSink(
        host="127.0.0.1",
        port=stage.peers.smpp_port,
        transport=notifier_pb2.SmsSink.TRANSPORT_TCP,
        system_id=SMS_ACCOUNT[0],
        password_file=SMS_PASSWORD_FILE,
        sender="Xenkeep",
        recipients=["4915550100"],
    )
    for channel in (
        notifier_pb2.Channel(name="channels/syslog", syslog=syslog),
        notifier_pb2.Channel(
            name="channels/mail", email=email, minimum_severity=notifier_pb2.SEVERITY_WARNING
        ),
        notifier_pb2.Channel(name="channels/sms", sms=sms, minimum_severity=notifier_pb2.SEVERITY_ERROR),
    ):
        stage.client.channels.create(channel)


async def count_messages(stage: Stage) -> None:
    """Wait until every peer has been told what it should have been."""
    got = stage.peers
    wanted: dict[str, Callable[[], bool]] = {
        "syslog": lambda: (
            any("RunFinished" in line for line in got.syslog)
            and any("HostFailed" in line for line in got.syslog)
        ),
        "email": lambda: any("FAIL" in subject for subject in got.mails),
        "sms": lambda: bool(got.texts),
    }
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not all(told() for told in wanted.values()):
                got.arrived.clear()
                await got.arrived.wait()
    except TimeoutError:
        stage.say(f"    not everything arrived within {PATIENCE_SECONDS:.0f} s")
    counts = {"syslog": len(got.syslog), "email": len(got.mails), "sms": len(got.texts)}
    for name, told in wanted.items():
        stage.check(told(), f"{name}: {counts[name]} messages")
    stage.check(not got.malformed, "every syslog message is RFC 5424")
    stage.report.data["notified"] = counts
