"""Tasks: what is being done, how far it is, how it ended (xapi: ocaml/xapi/taskHelper.ml)."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.simulator.database.database import Database
from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.wire import xmlrpc
from services.simulator.wire.datetimes import DateTime

MAX_TASKS = 200
"""Beyond it the oldest finished tasks go (xapi: ocaml/xapi/xapi_globs.ml ``max_tasks``)."""
FINISHED_LIFE, PENDING_LIFE = timedelta(minutes=65), timedelta(days=1)
"""How long a task that nobody destroys is kept (xapi: ocaml/xapi/xapi_globs.ml ``completed_task_timeout``,
``pending_task_timeout``). Here old ones are looked for when another begins.
"""


class Tasks:
    """Writes task records and carries requests to cancel."""

    def __init__(self, db: Database, clock: Clock, ids: IdSource) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._cancels: dict[str, asyncio.Event] = {}
        self._owners: dict[str, str] = {}

    def create(
        self, label: str, description: str, host: str, cancellable: bool = False, owner: str = ""
    ) -> str:
        """A pending task's reference; ``owner`` is the name of the user who asked for it."""
        self._make_room()
        ref = f"OpaqueRef:{self._ids.new()}"
        self._owners[ref] = owner
        values = {
            "uuid": self._ids.new(),
            "name_label": label,
            "name_description": description,
            "status": "pending",
            "created": self._now(),
            "resident_on": host,
            "type": "<none/>",
            "backtrace": "()",
            "allowed_operations": ["cancel"] if cancellable else [],
        }
        self._db.create("task", ref, values)
        return ref

    @contextmanager
    def part(self, parent: str, label: str, host: str) -> Iterator[str]:
        """A subtask for the length of the block; one that failed stays, to tell why. Cancelling the parent
        cancels it.
        """
        if self._db.find("task", parent) is None:
            yield parent
            return
        ref = self.create(label, "", host, cancellable=True)
        self._db.set("task", ref, "subtask_of", parent)
        self._cancels[ref] = self.cancelled(parent)
        try:
            yield ref
        except XapiFailure as failure:
            self.fail(ref, failure)
            raise
        self.succeed(ref, None)
        self.discard(ref)

    def start(self, ref: str) -> None:
        """Work for this task begins: from now on it can be cancelled."""
        self._cancels.setdefault(ref, asyncio.Event())

    def progress(self, ref: str, fraction: float) -> None:
        """``fraction`` of 1; a task that is gone, or the null one, is no error."""
        if self._db.find("task", ref) is not None:
            self._db.set("task", ref, "progress", float(fraction))

    def succeed(self, ref: str, result: Any) -> None:
        """``result`` becomes the XML-RPC text that clients parse; None is a void result, "" stays nothing
        at all.
        """
        self._end(ref, status="success", result="" if result == "" else xmlrpc.encode(result))

    def fail(self, ref: str, failure: XapiFailure) -> None:
        """``TASK_CANCELLED`` ends it as cancelled, which carries no error."""
        if failure.code == "TASK_CANCELLED":
            self._end(ref, status="cancelled", error_info=[])
        else:
            self._end(ref, status="failure", error_info=failure.description)

    def cancel(self, ref: str) -> None:
        """Ask the work behind a task to stop; a task that nobody works on merely notes the wish."""
        key = f"DummyRef:|{self._ids.new()}|task.cancel"
        row = self._db.row("task", ref)
        self._db.set("task", ref, "current_operations", {**row["current_operations"], key: "cancel"})
        if ref in self._cancels:
            self._cancels[ref].set()

    def cancelled(self, ref: str) -> asyncio.Event:
        """Set once the task was asked to stop; an event that is never set for work without a task."""
        return self._cancels.get(ref) or asyncio.Event()

    def check(self, ref: str) -> None:
        """Raises ``TASK_CANCELLED`` when the task was asked to stop."""
        if self.cancelled(ref).is_set():
            raise XapiFailure("TASK_CANCELLED", ref)

    def destroy(self, ref: str) -> None:
        """Remove a task; a pending one is only marked, and goes when it has ended."""
        if ref == NULL_REF:
            return
        row = self._db.row("task", ref)
        if row["status"] == "pending":
            self._db.set("task", ref, "current_operations", {**row["current_operations"], "task": "destroy"})
        else:
            self.discard(ref)

    def belongs_to(self, ref: str, user: str) -> bool:
        """Whether ``user`` asked for the task."""
        return self._owners.get(ref) == user

    def discard(self, ref: str) -> None:
        """Remove a task whatever its state; one that is gone is no error."""
        self._cancels.pop(ref, None)
        self._owners.pop(ref, None)
        if self._db.find("task", ref) is not None:
            self._db.delete("task", ref)

    def forget_all(self) -> None:
        """The toolstack restarted: tasks do not fail, they vanish."""
        for row in self._db.rows("task"):
            self.discard(row.ref)

    def _make_room(self) -> None:
        table = self._db.tables["task"]
        begun, ended = (DateTime.of(self._clock.now() - life) for life in (PENDING_LIFE, FINISHED_LIFE))
        for row in list(table):
            if (row["created"] < begun) if row["status"] == "pending" else (_end_of(row) < ended):
                self.discard(row.ref)
        if len(table) >= MAX_TASKS:
            finished = sorted(
                (row for row in table if row["status"] != "pending"), key=lambda row: row.created
            )
            for row in finished[: len(table) - MAX_TASKS + 1]:
                self.discard(row.ref)

    def _end(self, ref: str, **values: Any) -> None:
        self._cancels.pop(ref, None)
        row = self._db.find("task", ref)
        if row is None:
            return
        self._db.update("task", ref, allowed_operations=[], finished=self._now(), progress=1.0, **values)
        if row["current_operations"].get("task") == "destroy":
            self.discard(ref)

    def _now(self) -> DateTime:
        return DateTime.of(self._clock.now())


def _end_of(row: Row) -> str:
    """When a finished task ended; a client that ends its task itself leaves that unset."""
    return max(str(row["created"]), str(row["finished"]))
