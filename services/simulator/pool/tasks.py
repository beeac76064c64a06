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
"""Beyond it those that finished first go (xapi: ocaml/xapi/xapi_globs.ml ``max_tasks``)."""
FINISHED_LIFE, PENDING_LIFE = timedelta(minutes=65), timedelta(days=1)
"""How long a task that nobody destroys is kept (xapi: ocaml/xapi/xapi_globs.ml ``completed_task_timeout``,
``pending_task_timeout``).
"""
COLLECTION_INTERVAL = timedelta(seconds=30)
"""Between two looks for old tasks (xapi: ocaml/xapi/db_gc.ml ``db_GC_TIMER``); here the first task that
begins later looks.
"""


class Tasks:
    """Writes task records and carries requests to cancel."""

    def __init__(self, db: Database, clock: Clock, ids: IdSource) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._cancels: dict[str, asyncio.Event] = {}
        self._sessions: dict[str, str] = {}
        self._last_look = clock.now()
        self._on_probation: dict[str, float] = {}

    def create(
        self, label: str, description: str, host: str, cancellable: bool = False, session: str = ""
    ) -> str:
        """A pending task's reference; ``session`` asked for it, and is in use until it ends."""
        if self._clock.now() >= self._last_look + COLLECTION_INTERVAL:
            self._collect()
        ref = f"OpaqueRef:{self._ids.new()}"
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
        if self._db.find("session", session) is not None:
            self._sessions[ref] = session
            self._db.set("session", session, "tasks", [ref, *self._db.row("session", session)["tasks"]])
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
        """Whether ``user`` asked for the task, in a session that has not ended (xapi:
        ocaml/xapi/taskHelper.ml ``assert_op_valid``).
        """
        asked = self._db.find("session", self._sessions.get(ref, ""))
        return asked is not None and asked["auth_user_name"] == user

    def discard(self, ref: str) -> None:
        """Remove a task whatever its state; one that is gone is no error."""
        self._cancels.pop(ref, None)
        asked = self._db.find("session", self._sessions.pop(ref, ""))
        if asked is not None:
            left = [task for task in asked["tasks"] if task != ref]
            self._db.set("session", asked.ref, "tasks", left)
        if self._db.find("task", ref) is not None:
            self._db.delete("task", ref)

    def forget_all(self) -> None:
        """The toolstack restarted: tasks do not fail, they vanish."""
        for row in self._db.rows("task"):
            self.discard(row.ref)

    def _collect(self) -> None:
        """What has ended long ago goes, and what has begun long ago and gets no further between two looks;
        of others, beyond the limit, those that ended first. A task that its client ends itself has ended in
        1970 (recorded), and goes at once (xapi: ocaml/xapi/db_gc_util.ml ``timeout_tasks``).
        """
        self._last_look = self._clock.now()
        begun, ended = (DateTime.of(self._last_look - life) for life in (PENDING_LIFE, FINISHED_LIFE))
        rows = self._db.rows("task")
        old = [row for row in rows if row["status"] == "pending" and row["created"] < begun]
        stuck = [row for row in old if row["progress"] <= self._on_probation.get(row.ref, -1.0)]
        self._on_probation = {row.ref: row["progress"] for row in old}
        finished = sorted((row for row in rows if row["status"] != "pending"), key=_finished)
        past = sum(row["finished"] < ended for row in finished)
        too_many = max(0, len(rows) - len(stuck) - past - MAX_TASKS)
        for row in (*stuck, *finished[: past + too_many]):
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


def _finished(task: Row) -> str:
    return str(task["finished"])
