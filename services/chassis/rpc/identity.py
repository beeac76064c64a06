"""Who may call: the certificate's common name must be among the service's allowed callers."""

from collections.abc import AsyncIterator, Mapping, Set
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase

from services.chassis.errors import PermissionDenied, Unauthenticated
from services.chassis.rpc.call import Call, Guard

ANYONE: frozenset[str] = frozenset({"*"})
"""Every holder of a certificate of our authority."""


def identity(allowed: Mapping[str, Set[str]]) -> Guard:
    """``allowed`` maps a service's full name to names or patterns (``mover-*``); what it lacks is closed."""

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
        if not any(fnmatchcase(call.caller, pattern) for pattern in allowed.get(call.service, ())):
            raise PermissionDenied(
                f"{call.caller} may not call {call.service}.",
                reason="CALLER_NOT_ALLOWED",
                hint="Call with the certificate of a service that may.",
                metadata={"caller": call.caller, "service": call.service},
            )
        yield

    return guard
