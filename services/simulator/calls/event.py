"""Calls of class event (xapi: ocaml/xapi/xapi_event.ml).

``event.from`` tells how the state differs from a token's, one event per object. ``register`` and ``next``
are the old way: every change, one after another.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

from services.simulator.database.database import Change, Database
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool.registrations import SILENT_CLASSES
from services.simulator.wire.xmlrpc import Int4

UNCOUNTED_TABLES = ("diagnostics", "message", "role")
"""``valid_ref_counts`` lists them and counts nothing: a table without a class, and classes that xapi keeps
outside of its database (xapi: xapi_message.ml, xapi_role.ml)."""
BATCHING_S = 0.05
"""Between the first change and the answer, so that changes that belong together come together."""
_TOKEN = re.compile(r"(-?\d{1,20}),(-?\d{1,20})")


@dataclass(frozen=True)
class Subscription:
    """``classes`` are watched whole, ``objects`` are (class, reference)."""

    classes: frozenset[str]
    objects: frozenset[tuple[str, str]]

    @classmethod
    def parse(cls, db: Database, names: list[str]) -> "Subscription":
        """Case-insensitive class names, ``Class/reference``, or ``*``; names that mean nothing match
        nothing.
        """
        by_name = {name.lower(): name for name in db.tables if name not in SILENT_CLASSES}
        classes: set[str] = set()
        objects: set[tuple[str, str]] = set()
        for name in names:
            head, slash, ref = name.partition("/")
            if name == "*":
                classes.update(by_name.values())
            elif head.lower() in by_name:
                if slash:
                    objects.add((by_name[head.lower()], ref))
                else:
                    classes.add(by_name[head.lower()])
        return cls(frozenset(classes), frozenset(objects))

    @property
    def tables(self) -> set[str]:
        """Every table that may hold something of interest, but messages."""
        return {*self.classes, *(cls for cls, _ in self.objects)} - {"message"}

    @property
    def messages(self) -> bool:
        return "message" in self.classes

    @property
    def only_tasks(self) -> bool:
        return self.tables == {"task"} and not self.messages

    def covers(self, cls: str, ref: str) -> bool:
        return cls in self.classes or (cls, ref) in self.objects


@dataclass(frozen=True)
class Token:
    """Generations up to which a client knows the database and the messages."""

    database: int
    messages: int

    @classmethod
    def parse(cls, text: str) -> "Token":
        """Raises ``EVENT_FROM_TOKEN_PARSE_FAILURE``."""
        if text == "":
            return cls(0, 0)
        match = _TOKEN.fullmatch(text)
        if match is None or any(abs(int(half)) >= 2**63 for half in match.groups()):
            raise XapiFailure("EVENT_FROM_TOKEN_PARSE_FAILURE", text)
        return cls(int(match.group(1)), int(match.group(2)))

    def __str__(self) -> str:
        return f"{self.database:020d},{self.messages:020d}"


async def from_(call: Call, classes: list[str], token: str, timeout: float) -> dict[str, Any]:
    """Events since ``token``; when there are none, waits up to ``timeout`` seconds for one."""
    since = Token.parse(token)
    subscription = Subscription.parse(call.db, classes)
    events = _changes(call.db, subscription, since)
    deadline = call.pool.clock.monotonic() + timeout
    while not events and (left := deadline - call.pool.clock.monotonic()) > 0:
        await _wait(call, subscription, left)
        events = _changes(call.db, subscription, since)
    call.pool.sessions.alive(call.session)
    return {
        "events": events,
        "valid_ref_counts": _counts(call.db),
        "token": str(_reached(call.db, subscription, since)),
    }


async def inject(call: Call, cls: str, ref: str) -> str:
    """Make an object look changed; the token of the moment before."""
    if cls == "message":
        raise XapiFailure("HANDLE_INVALID", cls, ref)
    call.db.row(cls, ref)
    before = Token(call.db.generation, 0)
    call.db.touch(cls, ref)
    return str(before)


def _changes(db: Database, subscription: Subscription, since: Token) -> list[dict[str, Any]]:
    added: list[Row] = []
    modified: list[Row] = []
    deleted: list[tuple[int, str, str]] = []
    for cls in subscription.tables:
        table = db.tables[cls]
        for row in table.changed_since(since.database):
            if subscription.covers(cls, row.ref):
                (added if row.created > since.database else modified).append(row)
        gone = [
            deletion
            for deletion in table.deleted_since(since.database)
            if subscription.covers(cls, deletion.ref)
        ]
        deleted += [(deletion.deleted, cls, deletion.ref) for deletion in gone]
    events = _message_changes(db, since) if subscription.messages else []
    events += [_event(row, "add") for row in sorted(added, key=lambda row: row.modified)]
    events += [_event(row, "mod") for row in sorted(modified, key=lambda row: row.modified)]
    events += [_deletion(str(generation), cls, ref) for generation, cls, ref in sorted(deleted)]
    return events


def _message_changes(db: Database, since: Token) -> list[dict[str, Any]]:
    table = db.tables["message"]
    events = [_event(row, "add") | {"id": "0"} for row in table.changed_since(since.messages)]
    return events + [_deletion("0", "message", gone.ref) for gone in table.deleted_since(since.messages)]


def _event(row: Row, operation: str) -> dict[str, Any]:
    return {
        "id": str(row.modified),
        "timestamp": "0.0",
        "class": row.cls.lower(),
        "operation": operation,
        "ref": row.ref,
        "snapshot": row,
    }


def _deletion(id_: str, cls: str, ref: str) -> dict[str, Any]:
    return {"id": id_, "timestamp": "0.0", "class": cls.lower(), "operation": "del", "ref": ref}


def _reached(db: Database, subscription: Subscription, since: Token) -> Token:
    """Each half is of this subscription only, and never goes back."""
    messages = max(since.messages, db.newest(["message"])) if subscription.messages else 0
    return Token(max(since.database, db.newest(subscription.tables)), messages)


def _counts(db: Database) -> dict[str, Int4]:
    """Of every table: what is kept elsewhere counts as none (recorded)."""
    counts = {cls.lower(): Int4(len(table)) for cls, table in db.tables.items()}
    return counts | dict.fromkeys(UNCOUNTED_TABLES, Int4(0))


async def _wait(call: Call, subscription: Subscription, seconds: float) -> None:
    """Until something of interest changes, the session ends, or time is up; then until the batch is
    complete.
    """
    woken = asyncio.Event()

    def listen(change: Change) -> None:
        row = change.row
        if subscription.covers(row.cls, row.ref) or (row.ref == call.session and change.operation == "del"):
            woken.set()

    forget = call.db.listen(listen)
    try:
        await call.pool.clock.wait(woken.wait(), seconds)
    except TimeoutError:
        return
    finally:
        forget()
    call.pool.sessions.alive(call.session)
    await call.pool.clock.sleep(0 if subscription.only_tasks else BATCHING_S)


async def register(call: Call, classes: list[str]) -> None:
    call.pool.registrations.register(call.session, classes)


async def unregister(call: Call, classes: list[str]) -> None:
    call.pool.registrations.unregister(call.session, classes)


async def next_(call: Call) -> list[dict[str, Any]]:
    """All changes since the last call, at least one: it waits for ever. Raises ``EVENTS_LOST`` after an
    overflow.
    """
    queue = call.pool.registrations.queue(call.session)
    while not queue.events and not queue.lost:
        queue.woken.clear()
        await queue.woken.wait()
        call.pool.sessions.alive(call.session)
    if queue.lost:
        queue.lost = False
        raise XapiFailure("EVENTS_LOST")
    events = [event | {"timestamp": f"{int(call.pool.clock.now().timestamp())}."} for event in queue.events]
    queue.events.clear()
    return events


async def get_current_id(call: Call) -> int:
    return 0
