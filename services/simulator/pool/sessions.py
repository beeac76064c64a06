"""Who is logged in.

Sessions live as long as the coordinator's toolstack (xapi: ocaml/idl/datamodel.ml, ``PersistNothing``). One
with a task that has not ended is in use: it neither expires nor makes room (xapi: ocaml/xapi/db_gc_util.ml
``timeout_sessions_common``).
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.simulator.database.database import Database
from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.pool.permissions import permissions
from services.simulator.wire.datetimes import DateTime

IDLE_LIMIT = timedelta(days=1)
"""xapi: ocaml/xapi/xapi_globs.ml ``inactive_session_timeout``."""
PER_ORIGINATOR, PER_USER, ANONYMOUS_ROOTS = 500, 500, 400
"""Beyond it the least recently used session goes: of root from the same originator, of the same other user,
of root without an originator (xapi: ocaml/xapi/db_gc_util.ml ``timeout_sessions``).
"""
SUPERUSER_ROLE = "pool-admin"
_OF_THE_USER = ("is_local_superuser", "auth_user_name", "originator", "rbac_permissions")


@dataclass
class User:
    """``role`` is one of XenAPI's role names; the one called root is the local superuser."""

    name: str
    password: str
    role: str = SUPERUSER_ROLE


class Sessions:
    """Logs users in and out and tells whose a session is."""

    def __init__(
        self, db: Database, clock: Clock, ids: IdSource, users: Sequence[User], refusal_delay_s: float
    ) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._users = {user.name: user for user in users}
        self._refusal_delay_s = refusal_delay_s
        self._roles: dict[str, str] = {}

    @property
    def users(self) -> list[User]:
        """With their passwords as they are now."""
        return list(self._users.values())

    def copy_from(self, other: "Sessions") -> None:
        """Whoever is logged in there is logged in here, too, if their records are."""
        self._users = other._users
        self._roles = dict(other._roles)

    async def log_in(self, host: str, name: str, password: str, originator: str) -> str:
        """A new session's reference. Raises ``SESSION_AUTHENTICATION_FAILED``, after a pause that slows
        guessing.
        """
        user = self._users.get(name)
        if user is None or not hmac.compare_digest(user.password.encode(), password.encode()):
            await self._clock.sleep(self._refusal_delay_s)
            why = (
                "Authentication failure" if user else "User not known to the underlying authentication module"
            )
            raise XapiFailure("SESSION_AUTHENTICATION_FAILED", name, why)
        self._make_room(name, originator)
        about = {
            "this_host": host,
            "is_local_superuser": name == "root",
            "auth_user_name": name,
            "originator": originator,
            "rbac_permissions": [] if name == "root" else permissions(self._db.model, user.role),
        }
        made = self._open(about)
        self._roles[made] = user.role
        return made

    def another(self, ref: str, host: str) -> str:
        """A new session of the same user, for whoever is to act in their name on ``host``."""
        row = self.alive(ref)
        made = self._open({name: row[name] for name in _OF_THE_USER} | {"this_host": host})
        self._roles[made] = self._roles[ref]
        return made

    def change_password(self, name: str, password: str) -> None:
        self._users[name].password = password

    def use(self, ref: str) -> str:
        """The role of a session, which is thereby active. Raises ``SESSION_INVALID``."""
        row = self.alive(ref)
        self._db.set("session", ref, "last_active", DateTime.of(self._clock.now()))
        return self._roles[row.ref]

    def user(self, ref: str) -> str:
        """Whose session it is. Raises ``SESSION_INVALID``."""
        return str(self.alive(ref)["auth_user_name"])

    def alive(self, ref: str) -> Row:
        """Raises ``SESSION_INVALID`` for a session that is unknown, logged out or was idle too long."""
        row = self._db.find("session", ref)
        if row is not None and self._is_idle(row) and not self._is_in_use(row):
            self.end(ref)
            row = None
        if row is None:
            raise XapiFailure("SESSION_INVALID", ref)
        return row

    def end(self, ref: str) -> None:
        self._roles.pop(ref, None)
        self._db.delete("session", ref)

    def end_all(self) -> None:
        for row in self._db.rows("session"):
            self.end(row.ref)

    def _open(self, about: dict[str, Any]) -> str:
        now = DateTime.of(self._clock.now())
        values = {"uuid": self._ids.new(), "last_active": now, "validation_time": now, **about}
        return self._db.create("session", f"OpaqueRef:{self._ids.new()}", values).ref

    def _is_idle(self, session: Row) -> bool:
        return DateTime(session["last_active"]).moment() + IDLE_LIMIT < self._clock.now()

    def _is_in_use(self, session: Row) -> bool:
        tasks = (self._db.find("task", ref) for ref in session["tasks"])
        return any(task is not None and task["status"] == "pending" for task in tasks)

    def _make_room(self, user: str, originator: str) -> None:
        of_user = [row for row in self._db.rows("session") if row["auth_user_name"] == user]
        limit = PER_USER
        if user == "root":
            of_user = [row for row in of_user if row["originator"] == originator]
            limit = PER_ORIGINATOR if originator else ANONYMOUS_ROOTS
        unused = sorted((row for row in of_user if not self._is_in_use(row)), key=_last_active)
        for row in unused[: max(0, len(unused) - limit + 1)]:
            self.end(row.ref)


def _last_active(session: Row) -> str:
    return str(session["last_active"])
