"""What a database's refusal means to the caller."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as TimeoutExceeded

from services.chassis.errors import DataLoss, FailedPrecondition, ResourceExhausted, Unavailable, XenkeepError


@contextmanager
def sql_errors(store: str) -> Iterator[None]:
    """Raises XenkeepError for what an operator can act on: busy, unreachable, full, damaged, refused.

    IntegrityError passes: only the adapter knows what a broken constraint means. ``store`` names the database
    without credentials. SQLite texts: sqlite3 ext/misc and sqlite3ErrStr in src/main.c; SQLSTATEs: PostgreSQL
    Appendix A.
    """
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        meaning = _meaning(error, store)
        if meaning is None:
            raise
        raise meaning from error


@contextmanager
def connecting(store: str) -> Iterator[None]:
    """Raises Unavailable when there is nothing to connect to, or no connection to be had. Only around
    connecting: any code may raise OSError.
    """
    try:
        yield
    except TimeoutExceeded as error:
        raise _busy(store) from error
    except OSError as error:
        raise _unreachable(store, error.strerror or type(error).__name__) from error


def _meaning(error: DBAPIError, store: str) -> XenkeepError | None:
    text = str(error.orig).lower()
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if "is locked" in text or state == "55P03":
        return _busy(store)
    if "disk is full" in text or state in ("53100", "53200"):
        return ResourceExhausted(
            f"{store} has no room left.", reason="DATABASE_FULL", hint="Make room and try again."
        )
    if "malformed" in text or "not a database" in text or state in ("XX001", "XX002"):
        return DataLoss(
            f"{store} is damaged.",
            reason="DATABASE_DAMAGED",
            hint="Stop the service and restore the database; restore points are safe in their repositories.",
        )
    if "unable to open" in text or "readonly database" in text:
        return FailedPrecondition(
            f"{store} cannot be opened for writing.",
            reason="DATABASE_NOT_WRITABLE",
            hint="Check that the directory exists and belongs to the user of the service.",
        )
    if state == "53300":
        return _unreachable(store, "the server has no connection to spare")
    if state.startswith(("28", "3D")) or state == "42501":
        return FailedPrecondition(
            f"{store} refuses us.",
            reason="DATABASE_REFUSED",
            hint="Check the user, the password and the database name in XENKEEP_DATABASE_URL.",
        )
    if (
        error.connection_invalidated
        or state.startswith(("08", "57P", "25P03"))
        or isinstance(error, InterfaceError)
    ):
        return _unreachable(store, "the connection was lost")
    if isinstance(error, OperationalError) and "disk i/o error" in text:
        return DataLoss(f"{store} cannot be read or written.", reason="DATABASE_IO", hint="Check the disk.")
    return None


def _busy(store: str) -> Unavailable:
    return Unavailable(
        f"{store} was busy with other writers for too long.",
        reason="DATABASE_BUSY",
        hint="Try again; if it persists, look for a transaction that does not end.",
    )


def _unreachable(store: str, why: str) -> Unavailable:
    return Unavailable(
        f"{store} cannot be reached: {why}.",
        reason="DATABASE_UNAVAILABLE",
        hint="Check that the server runs and that XENKEEP_DATABASE_URL is right.",
    )
