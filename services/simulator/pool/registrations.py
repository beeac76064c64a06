"""Sessions that asked for every change (``event.register``, xapi: ocaml/xapi/xapi_event.ml)."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from services.simulator.database.database import Change, Database
from services.simulator.failure import XapiFailure

SILENT_CLASSES = frozenset({"session", "user", "role"})
"""They never have events (recorded)."""
QUEUE_LIMIT = 10_000
"""Events that a registered session may leave unread before it has lost some."""


@dataclass
class Queue:
    """What a registered session has not read yet."""

    classes: set[str] = field(default_factory=set)
    events: deque[dict[str, Any]] = field(default_factory=deque)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    next_id: int = 0
    lost: bool = False


class Registrations:
    """The queues of ``event.register``, by session."""

    def __init__(self, db: Database) -> None:
        self._queues: dict[str, Queue] = {}
        db.listen(self._changed)

    def register(self, session: str, classes: list[str]) -> None:
        self._queues.setdefault(session, Queue()).classes.update(name.lower() for name in classes)

    def unregister(self, session: str, classes: list[str]) -> None:
        if session in self._queues:
            self._queues[session].classes.difference_update(name.lower() for name in classes)

    def queue(self, session: str) -> Queue:
        """Raises ``SESSION_NOT_REGISTERED``, which names the session by an opaque number."""
        if session not in self._queues:
            raise XapiFailure(
                "SESSION_NOT_REGISTERED", f"trackid={session.removeprefix('OpaqueRef:').replace('-', '')}"
            )
        return self._queues[session]

    def _changed(self, change: Change) -> None:
        row = change.row
        if row.cls == "session" and change.operation == "del" and row.ref in self._queues:
            self._queues.pop(row.ref).woken.set()
        if not self._queues or row.cls in SILENT_CLASSES:
            return
        name = row.cls.lower()
        for queue in self._queues.values():
            if name in queue.classes or "*" in queue.classes:
                self._enqueue(queue, change)

    @staticmethod
    def _enqueue(queue: Queue, change: Change) -> None:
        if len(queue.events) >= QUEUE_LIMIT:
            queue.events.clear()
            queue.lost = True
        event: dict[str, Any] = {
            "id": str(queue.next_id),
            "class": change.row.cls.lower(),
            "operation": change.operation,
            "ref": change.row.ref,
            "snapshot": dict(change.row),
        }
        queue.next_id += 1
        queue.events.append(event)
        queue.woken.set()
