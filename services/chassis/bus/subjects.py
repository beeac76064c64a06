"""Subjects are derived, never written by hand: of an event its full name, of work its site and kind."""

import re

from google.protobuf.message import Message

from services.chassis.errors import InvalidInput

EVENTS = "XENKEEP_EVENTS"
WORK = "XENKEEP_WORK"
DEAD = "XENKEEP_DEAD"
PUBLISHERS = (
    "catalog",
    "common",
    "console",
    "hypervisor",
    "mover",
    "notifier",
    "scheduler",
    "simulator",
)
"""Packages whose messages are events. Named one by one: ``xenkeep.*.v1.>`` would overlap the work of a site
named ``v1``, and JetStream refuses streams that overlap.
"""
STREAM_SUBJECTS = {
    EVENTS: tuple(f"xenkeep.{package}.v1.>" for package in PUBLISHERS),
    WORK: ("xenkeep.work.>",),
    DEAD: ("xenkeep.dead.>",),
}
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def of_event(message_type: type[Message]) -> str:
    """For example ``xenkeep.catalog.v1.RestorePointAdded``; InvalidInput EVENT_TYPE_UNKNOWN for a foreign
    type.
    """
    name: str = message_type.DESCRIPTOR.full_name
    if not name.startswith(tuple(subject[:-1] for subject in STREAM_SUBJECTS[EVENTS])):
        raise InvalidInput(
            f"{name} is not a type that is published.",
            reason="EVENT_TYPE_UNKNOWN",
            hint="Events are messages of xenkeep.<service>.v1.",
        )
    return name


def of_work(site: str, kind: str) -> str:
    """``xenkeep.work.<site>.<kind>``; InvalidInput SUBJECT_INVALID for what NATS would read as a pattern."""
    return f"xenkeep.work.{token(site)}.{token(kind)}"


def of_dead(consumer: str) -> str:
    """Where ``consumer`` sets aside what it cannot handle."""
    return f"xenkeep.dead.{token(consumer)}"


def inbox(service: str) -> str:
    """The prefix of subjects at which ``service`` is answered; NATS lets nobody else listen there."""
    return f"_INBOX.{token(service)}"


def token(text: str) -> str:
    """``text`` if it can be one part of a subject and a consumer's name."""
    if not _TOKEN.fullmatch(text):
        raise InvalidInput(
            f"{text!r} cannot be part of a subject.",
            reason="SUBJECT_INVALID",
            hint="Use up to 63 letters, digits, dashes and underscores, starting with a letter or digit.",
        )
    return text
