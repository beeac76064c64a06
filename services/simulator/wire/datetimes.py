"""Moments as XenAPI writes them: ``20261122T09:12:14Z``, whole seconds, UTC."""

from datetime import UTC, datetime

_FORMAT = "%Y%m%dT%H:%M:%SZ"


class DateTime(str):
    """The wire text of a moment; a type of its own because XML-RPC tags it. Text order is time order."""

    __slots__ = ()

    @classmethod
    def of(cls, moment: datetime) -> "DateTime":
        """The wire text of an aware moment; fractions of a second are dropped."""
        return cls(moment.astimezone(UTC).strftime(_FORMAT))

    def moment(self) -> datetime:
        """The aware moment. Raises ``ValueError`` when the text is no moment."""
        return datetime.strptime(self, _FORMAT).replace(tzinfo=UTC)


EPOCH = DateTime("19700101T00:00:00Z")
"""What xapi writes for *never* (``finished`` of a pending task, ``snapshot_time`` of a VM)."""
