"""A channel: a way to reach people or systems, and the rule of what goes there."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from services.chassis.errors import InvalidInput
from services.notifier.domain.notification import Notification, Severity
from services.notifier.domain.settings import Settings

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Channel:
    """`event_types` empty means all. Raises `InvalidInput` naming everything that is wrong with it."""

    name: str
    settings: Settings
    minimum_severity: Severity = Severity.INFO
    event_types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = [*self._problems(), *self.settings.problems()]
        if problems:
            raise InvalidInput(
                f"Channel {self.name[:80]!r} cannot work: {'; '.join(problems)}.",
                reason="CHANNEL_INVALID",
                hint="Correct these and create the channel again.",
            )

    def _problems(self) -> Iterator[str]:
        if not _NAME.fullmatch(self.name):
            yield "its name must be 1 to 63 lower-case letters, digits and dashes"
        if len(set(self.event_types)) != len(self.event_types):
            yield "an event type is named twice"

    def wants(self, notification: Notification) -> bool:
        """Whether its rule lets the notification through."""
        return (
            notification.severity >= self.minimum_severity
            and notification.except_channel != self.name
            and (not self.event_types or notification.event_type in self.event_types)
        )


def check_event_types(channel: Channel, known: Collection[str]) -> None:
    """Raises `InvalidInput` when the rule names an event nobody is told of: it would wait for ever."""
    unknown = [name[:100] for name in channel.event_types if name not in known]
    if unknown:
        raise InvalidInput(
            f"Channel {channel.name!r} waits for events that make no notification: {', '.join(unknown)}.",
            reason="EVENT_TYPE_UNKNOWN",
            hint=f"Choose from: {', '.join(sorted(known))}.",
        )
