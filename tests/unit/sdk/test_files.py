"""Files that people write: what they become, and how they are complained about."""

from datetime import timedelta
from pathlib import Path

import pytest
from xenkeep.cli import files
from xenkeep.cli.channel_file import ChannelFile
from xenkeep.cli.policy_file import PolicyFile
from xenkeep.common.v1 import capture_pb2
from xenkeep.errors import Error
from xenkeep.notifier.v1 import notifier_pb2

FULL_POLICY = """
name: nightly
repository: main
pool: production
vms: [web-01]
tags: [gold]
exclude: [scratch]
method: offline
offline: {shutdown_deadline: PT10M, force: true, stay_off: true}
quiesce: {requirement: prefer}
hooks:
  - {url: "https://hooks.example.com/before", moment: before_snapshot, deadline: PT30S, optional: true}
disks: {include: ["device:0"], exclude: ["larger-than:1000"]}
compression: high
schedule: "0 22 * * *"
time_zone: Europe/Berlin
retry: {retries: 2, delay: PT10M}
limits: {tasks_per_run: 4, tasks_per_host: 2, connections_per_disk: 3}
paused: true
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "file.yaml"
    file.write_text(text)
    return file


def test_a_policy_file_becomes_the_policy_it_describes(tmp_path: Path) -> None:
    made = files.read(written(tmp_path, FULL_POLICY), PolicyFile, "policy").to_proto()

    assert "policies/nightly" == made.name
    assert ("production", ["web-01"], ["gold"], ["scratch"], False) == (
        made.selector.pool,
        list(made.selector.vms),
        list(made.selector.tags),
        list(made.selector.excluded_vms),
        made.selector.all,
    )
    assert (capture_pb2.METHOD_OFFLINE, "main", "0 22 * * *", "Europe/Berlin", True) == (
        made.method,
        made.repository,
        made.schedule,
        made.time_zone,
        made.paused,
    )
    assert (2, timedelta(minutes=10)) == (made.retry.retries, made.retry.delay_duration.ToTimedelta())
    assert capture_pb2.COMPRESSION_HIGH == made.options.compression
    assert (4, 2, 3) == (
        made.limits.tasks_per_run,
        made.limits.tasks_per_host,
        made.limits.connections_per_disk,
    )


def test_the_options_of_a_capture_are_passed_on(tmp_path: Path) -> None:
    options = files.read(written(tmp_path, FULL_POLICY), PolicyFile, "policy").to_proto().options
    (hook,) = options.hooks

    assert timedelta(minutes=10) == options.offline.shutdown_deadline_duration.ToTimedelta()
    assert (True, True) == (options.offline.force, options.offline.stay_off)
    assert capture_pb2.QuiesceOptions.REQUIREMENT_PREFER == options.quiesce.requirement
    assert ("https://hooks.example.com/before", capture_pb2.CaptureHook.MOMENT_BEFORE_SNAPSHOT, True) == (
        hook.url,
        hook.moment,
        hook.optional,
    )
    assert timedelta(seconds=30) == hook.deadline_duration.ToTimedelta()
    assert (["device:0"], ["larger-than:1000"]) == (
        list(options.disks.include),
        list(options.disks.exclude),
    )


def test_a_short_policy_is_enough(tmp_path: Path) -> None:
    text = "name: all\nrepository: main\nall: true\n"
    made = files.read(written(tmp_path, text), PolicyFile, "policy").to_proto()

    assert made.selector.all
    assert (capture_pb2.METHOD_NORMAL, "", "UTC", 0) == (
        made.method,
        made.schedule,
        made.time_zone,
        made.retry.retries,
    )
    assert not made.options.HasField("offline")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: a\nrepository: b\nall: true\nretry: {retries: 21}", "retry.retries: "),
        ("name: a\nrepository: b\nall: true\nretry: {again: 1}", "retry.again: there is no such key"),
        ("name: a\nrepository: b\nall: sometimes", "all: "),
        ("name: a\nrepository: b\nvms: web", "vms: "),
        ("repository: b\nall: true", "name: it is missing"),
        ("name: [\n", "while parsing"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
    ],
)
def test_every_complaint_names_the_key(tmp_path: Path, text: str, complaint: str) -> None:
    file = written(tmp_path, text)

    with pytest.raises(Error) as raised:
        files.read(file, PolicyFile, "policy")

    assert ("InvalidInput", "FILE_INVALID", 2) == (
        raised.value.kind,
        raised.value.reason,
        raised.value.exit_code,
    )
    assert raised.value.message.startswith(f"{file} is not a policy: ")
    assert complaint in raised.value.message
    assert "docs/configuration.md" in raised.value.hint


def test_channel_files_become_channels(tmp_path: Path) -> None:
    syslog = (
        "name: siem\nminimum_severity: error\nsyslog: {host: h, port: 6514, transport: tcp, ca_file: c}\n"
    )
    email = "name: mail\nevent_types: [a.b]\nemail: {host: h, port: 587, sender: s@x, recipients: [r@x]}\n"
    sms = "name: sms\nsms: {host: h, system_id: i, password_file: p, recipients: ['49'], transport: tcp}\n"

    made = [
        files.read(written(tmp_path, text), ChannelFile, "channel").to_proto()
        for text in (syslog, email, sms)
    ]

    assert ["channels/siem", "channels/mail", "channels/sms"] == [channel.name for channel in made]
    assert ["syslog", "email", "sms"] == [channel.WhichOneof("sink") for channel in made]
    assert notifier_pb2.SEVERITY_ERROR == made[0].minimum_severity
    assert notifier_pb2.SyslogSink.TRANSPORT_TCP == made[0].syslog.transport
    assert (["a.b"], ["r@x"]) == (list(made[1].event_types), list(made[1].email.recipients))
    assert notifier_pb2.SmsSink.TRANSPORT_TCP == made[2].sms.transport


def test_the_files_of_the_documentation_are_what_they_say(tmp_path: Path) -> None:
    """Every YAML block of docs/configuration.md and README.md is a policy or a channel."""
    root = Path(__file__).parents[3]
    blocks = [
        block.partition("```")[0]
        for page in ("docs/configuration.md", "README.md")
        for block in (root / page).read_text().split("```yaml\n")[1:]
    ]

    assert len(blocks) > 3
    for block in blocks:
        is_policy = "repository:" in block
        model = PolicyFile if is_policy else ChannelFile
        assert files.read(written(tmp_path, block), model, "documented file")
