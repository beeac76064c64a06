"""Errors of the operating system as answers an administrator can act on."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from services.chassis.errors import NotFound, PermissionDenied, ResourceExhausted, Unavailable, XenkeepError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FILES = {errno.EMFILE, errno.ENFILE}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def translate(error: OSError, doing: str, name: str, place: str = "") -> XenkeepError:
    """The leaf for ``error``; ``doing`` is a verb that continues 'The store at <place> cannot'."""
    cause = error.strerror or str(error)
    about = {"object": name}
    store = f"The store at {place}" if place else "The store"
    message = f"{store} cannot {doing} {name}: {cause}."
    if error.errno in _FULL:
        hint = "Free or add space, or raise the quota; what was committed is intact."
        return ResourceExhausted(message, reason="STORE_FULL", hint=hint, metadata=about)
    if error.errno in _FILES:
        hint = "Raise the limit of open files of this service."
        return ResourceExhausted(message, reason="TOO_MANY_OPEN_FILES", hint=hint, metadata=about)
    if error.errno in _REFUSED:
        hint = "Check the mount (read-only?) and the rights of the service's user."
        return PermissionDenied(message, reason="STORE_REFUSED", hint=hint, metadata=about)
    if error.errno == errno.ENOENT:
        return NotFound(f"{name} does not exist.", reason="OBJECT_MISSING", metadata=about)
    hint = "Check the disk or the mount; the same request may be repeated."
    return Unavailable(message, reason="STORE_IO_ERROR", hint=hint, metadata=about)


@contextmanager
def translated(doing: str, name: str, place: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise translate(error, doing, name, place) from error
