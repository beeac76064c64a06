"""Hooks over HTTPS: certificates are verified, redirects are not followed, answers are not read."""

import json
import ssl
from pathlib import Path

import httpcore
import structlog

from services.chassis.clock import Clock
from services.chassis.errors import InvalidInput
from services.hypervisor.domain.capture import Hook

_log = structlog.get_logger()


class HttpsHooks:
    """``ports.guests.Hooks``. ``ca`` is a PEM file with authorities to trust besides the system's.

    Raises InvalidInput HOOK_CA_UNREADABLE.
    """

    def __init__(self, clock: Clock, ca: Path | None = None) -> None:
        self._clock = clock
        self._context = ssl.create_default_context()
        if ca is not None:
            try:
                self._context.load_verify_locations(ca)
            except (OSError, ssl.SSLError) as error:
                raise InvalidInput(
                    f"The authorities for hooks in {ca} cannot be read: {error}.",
                    reason="HOOK_CA_UNREADABLE",
                    hint="Set XENKEEP_HOOK_CA to a PEM file with certificates of authorities.",
                ) from error

    async def call(self, hook: Hook, body: dict[str, str]) -> str:
        """See ports.Hooks."""
        try:
            status = await self._clock.wait(self._post(hook.url, body), hook.deadline_s)
        except TimeoutError:
            wrong = f"it did not answer within {hook.deadline_s:g} s"
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            wrong = f"it cannot be reached ({_reason(error)})"
        else:
            wrong = _judged(status)
        _log.info("hook called", host=hook.host, moment=hook.moment.value, wrong=wrong or None)
        return wrong

    async def _post(self, url: str, body: dict[str, str]) -> int:
        """The status of the answer; its body is left unread."""
        content = json.dumps(body).encode()
        headers = [("Content-Type", "application/json"), ("User-Agent", "xenkeep")]
        async with (
            httpcore.AsyncConnectionPool(ssl_context=self._context, max_connections=1) as pool,
            pool.stream("POST", url, headers=headers, content=content) as response,
        ):
            return response.status


def _judged(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"it answered with a redirect (HTTP status {status}), which is not followed"
    return f"it answered with HTTP status {status}"


def _reason(error: Exception) -> str:
    """The kind of failure; a certificate's fault is told, because a person has to mend it."""
    innermost: BaseException = error
    while (cause := innermost.__cause__ or innermost.__context__) is not None:
        innermost = cause
        if isinstance(innermost, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {innermost.verify_message}"
    return type(innermost).__name__
