"""Who may call what: the certificate's common name must be among the callers a service allows its methods."""

from collections.abc import AsyncIterator, Mapping, Set
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase

from services.chassis.errors import PermissionDenied, Unauthenticated
from services.chassis.rpc.call import Call, Guard

Callers = Set[str] | Mapping[str, Set[str]]
"""Names or patterns (``mover-*``) of those who may call every method of a service; or each with its
methods, ``EVERY`` for all."""

EVERY: frozenset[str] = frozenset({"*"})
ANYONE: Callers = frozenset({"*"})
"""Every holder of a certificate of our authority."""


def methods_of(callers: Callers) -> Set[str]:
    """The methods that are named in it."""
    named = callers.values() if isinstance(callers, Mapping) else ()
    return {method for methods in named for method in methods} - EVERY


def identity(allowed: Mapping[str, Callers]) -> Guard:
    """``allowed`` maps a service's full name to its callers; a service or method it lacks is closed."""

    @asynccontextmanager
    async def guard(call: Call) -> AsyncIterator[None]:
        names = [
            name.decode("utf-8", "replace")
            for name in call.context.auth_context().get("x509_common_name", ())
        ]
        if len(names) != 1 or not names[0]:
            raise Unauthenticated(
                "The caller's certificate does not say who it is.",
                reason="CALLER_UNKNOWN",
                hint="Use a certificate with exactly one common name, the service's name.",
            )
        call.caller = names[0]
        if not _may(call.caller, call.name, allowed.get(call.service, frozenset())):
            raise PermissionDenied(
                f"{call.caller} may not call {call.name} of {call.service}.",
                reason="CALLER_NOT_ALLOWED",
                hint="Call with the certificate of a service that may.",
                metadata={"caller": call.caller, "service": call.service},
            )
        yield

    return guard


def _may(caller: str, method: str, callers: Callers) -> bool:
    if not isinstance(callers, Mapping):
        callers = dict.fromkeys(callers, EVERY)
    return any(
        fnmatchcase(caller, pattern) and (methods == EVERY or method in methods)
        for pattern, methods in callers.items()
    )
