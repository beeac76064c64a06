"""Messages: alerts that administrators read."""

from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.simulator.database.database import Database
from services.simulator.wire.datetimes import DateTime


class Messages:
    """Writes messages; xapi keeps them beside its database, so they have event tokens of their own."""

    def __init__(self, db: Database, clock: Clock, ids: IdSource) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids

    def create(self, name: str, cls: str, obj_uuid: str, body: str, priority: int | None = None) -> str:
        """``cls`` is of the enum ``cls`` (``VM``, ``Host``, …). The priority, if not given, is that of
        ``name``.
        """
        if priority is None:
            priority = self._db.model.message_priorities[name]
        ref = f"OpaqueRef:{self._ids.new()}"
        values = {
            "uuid": self._ids.new(),
            "name": name,
            "priority": priority,
            "cls": cls,
            "obj_uuid": obj_uuid,
            "timestamp": DateTime.of(self._clock.now()),
            "body": body,
        }
        self._db.create("message", ref, values)
        return ref
