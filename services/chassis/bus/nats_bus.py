"""The connection to NATS: mutual TLS, made again for ever, with our streams in place.

TLS comes before anything else is said (``handshake_first`` in nats-server's ``tls`` block, since 2.10.4):
nats-py would otherwise go on in the clear with a server, or a man in the middle, that does not offer TLS.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js import errors as js_errors

from services.chassis.bus import subjects
from services.chassis.errors import FailedPrecondition, Unavailable
from services.chassis.tls import Renewals, TlsFiles, load_into, nats_context

DUPLICATE_WINDOW = timedelta(hours=2)
"""How long JetStream remembers ``Nats-Msg-Id``; the inbox remembers for consumers after that."""
EVENTS_KEPT = timedelta(days=30)
DEAD_KEPT = timedelta(days=90)
_STREAM_NOT_FOUND = 10059  # nats-server server/errors.json, JSStreamNotFoundErr
_ANSWER_S = 3.0
_ATTEMPT_S = 10.0
_SETTLE_S = 1
_log = structlog.get_logger("xenkeep.bus")


@dataclass(frozen=True)
class Place:
    """Stream sequences: of the newest message there is, and up to which all that concern a consumer are
    handled."""

    newest: int
    handled: int


class Bus:
    """``async with`` connects, waiting as long as it takes, and drains on the way out."""

    def __init__(self, urls: Sequence[str], tls: TlsFiles, service: str, *, replicas: int = 1) -> None:
        self.service = service
        self._urls = list(urls)
        self._tls = tls
        self._renewals = Renewals(tls)
        self._replicas = replicas
        self._nats = Client()
        self._last_error = ""
        self.connected = asyncio.Event()
        """Set while there is a connection."""

    @property
    def js(self) -> JetStreamContext:
        return self._jetstream

    async def __aenter__(self) -> Self:
        try:
            while not await self._connect():
                await self._shut()
            self._jetstream = self._nats.jetstream(timeout=_ANSWER_S)
            await self.ensure_streams()
        except BaseException:
            await self._shut()
            raise
        await self._on_connected()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.connected.clear()
        await self._shut()

    async def _connect(self) -> bool:
        # nats-py tries again by itself, but hangs on a handshake that failed half-way: hence the limit.
        self._nats = Client()
        self._context = nats_context(self._tls)
        try:
            async with asyncio.timeout(_ATTEMPT_S):
                await self._nats.connect(
                    servers=self._urls,
                    tls=self._context,
                    tls_handshake_first=True,
                    name=self.service,
                    inbox_prefix=subjects.inbox(self.service),
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=1,
                    connect_timeout=5,
                    ping_interval=10,
                    max_outstanding_pings=2,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnected,
                    reconnected_cb=self._on_connected,
                )
        except TimeoutError:
            _log.warning("bus not reached yet", servers=[_without_credentials(url) for url in self._urls])
            return False
        return True

    async def _shut(self) -> None:
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._nats.close()
        except TimeoutError:
            _log.debug("connection abandoned")

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str], message_id: str) -> bool:
        """Store a message; True when JetStream had it already. Raises Unavailable BUS_UNAVAILABLE."""
        if not self._nats.is_connected:
            raise self.unavailable("there is no connection")
        try:
            stored = await self._jetstream.publish(
                subject, body, headers={**headers, api.Header.MSG_ID: message_id}
            )
        except js_errors.NoStreamResponseError as error:
            await self.ensure_streams()
            raise self.unavailable("the stream was gone and has been made again") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise self.unavailable(str(error) or type(error).__name__) from error
        return bool(stored.duplicate)

    async def keep(self, message: Msg, timeout_s: float) -> bool:
        """Tell JetStream that ``message`` is still worked on; False if not confirmed in ``timeout_s``."""
        return await self._confirmed(message, Msg.Ack.Progress, timeout_s)

    async def end(self, message: Msg) -> None:
        """Have ``message`` never delivered again. Unconfirmed, it will be, and that is logged."""
        if not await self._confirmed(message, Msg.Ack.Term):
            _log.warning("termination lost; the message will come again", subject=message.subject)

    async def acknowledge(self, message: Msg) -> None:
        """Tell JetStream that ``message`` is done with. Unconfirmed, it will be delivered again, and that is
        logged.
        """
        if not await self._confirmed(message, Msg.Ack.Ack):
            _log.warning("acknowledgement lost; the message will come again", subject=message.subject)

    async def give_back(self, message: Msg, pause_s: float = 0.0) -> None:
        """Have ``message`` delivered again after ``pause_s``, to whoever has room. Unconfirmed, that happens
        when its ``ack_wait`` ends, and that is logged.
        """
        pause = b" " + json.dumps({"delay": int(pause_s * 1e9)}).encode() if pause_s else b""
        if not await self._confirmed(message, Msg.Ack.Nak + pause):
            _log.warning("could not give back; the message will come again later", subject=message.subject)

    async def settle(self) -> None:
        """Return when NATS has heard what we said and we what it had sent by then. Raises Unavailable."""
        try:
            await self._nats.flush(timeout=_SETTLE_S)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise self.unavailable(str(error) or type(error).__name__) from error

    async def place(self, stream: str, consumer: str) -> Place:
        """How far a durable consumer is. Raises Unavailable BUS_UNAVAILABLE."""
        if not self._nats.is_connected:
            raise self.unavailable("there is no connection")
        try:
            newest = (await self._jetstream.stream_info(stream)).state.last_seq
            try:
                info = await self._jetstream.consumer_info(stream, consumer)
            except js_errors.NotFoundError:
                return Place(newest, 0)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise self.unavailable(str(error) or type(error).__name__) from error
        idle = not info.num_pending and not info.num_ack_pending
        return Place(newest, newest if idle else info.ack_floor.stream_seq if info.ack_floor else 0)

    async def _confirmed(self, message: Msg, answer: bytes, timeout_s: float = _ANSWER_S) -> bool:
        try:
            await self._nats.request(message.reply, answer, timeout=timeout_s)
        except (nats.errors.Error, TimeoutError, OSError):
            return False
        return True

    async def ensure_streams(self) -> None:
        """Make our streams; of those that exist only the subjects are changed, the rest is the operator's."""
        kinds = {
            subjects.EVENTS: (api.RetentionPolicy.LIMITS, EVENTS_KEPT.total_seconds()),
            subjects.WORK: (api.RetentionPolicy.WORK_QUEUE, 0.0),
            subjects.DEAD: (api.RetentionPolicy.LIMITS, DEAD_KEPT.total_seconds()),
        }
        for name, (retention, age) in kinds.items():
            wanted = list(subjects.STREAM_SUBJECTS[name])
            try:
                existing = await self._stream(name)
                if existing is None:
                    await self._jetstream.add_stream(
                        name=name,
                        subjects=wanted,
                        retention=retention,
                        storage=api.StorageType.FILE,
                        max_age=age,
                        duplicate_window=DUPLICATE_WINDOW.total_seconds(),
                        num_replicas=self._replicas,
                    )
                elif missing := set(wanted) - set(existing.subjects or ()):
                    existing.subjects = [*(existing.subjects or ()), *sorted(missing)]
                    await self._jetstream.update_stream(existing)
            except js_errors.APIError as error:
                raise FailedPrecondition(
                    f"JetStream refuses the stream {name}: {error.description or error}.",
                    reason="STREAM_REFUSED",
                    hint="Enable JetStream with file storage; no other stream may claim xenkeep.* subjects.",
                ) from error
            except (nats.errors.Error, TimeoutError) as error:
                raise self.unavailable(str(error) or type(error).__name__) from error

    def unavailable(self, why: str) -> Unavailable:
        """The error for what cannot be done without NATS."""
        return Unavailable(
            f"The message bus cannot be reached: {why}.",
            reason="BUS_UNAVAILABLE",
            hint="Check XENKEEP_NATS_URL, and that NATS has our authority and handshake_first in its tls.",
        )

    async def _stream(self, name: str) -> api.StreamConfig | None:
        try:
            return (await self._jetstream.stream_info(name)).config
        except js_errors.NotFoundError as error:
            if error.err_code not in (_STREAM_NOT_FOUND, None):
                raise
            return None

    async def _on_connected(self) -> None:
        self._last_error = ""
        self.connected.set()
        _log.info("bus connected", server=_host(self._nats))

    async def _on_disconnected(self) -> None:
        if self.connected.is_set():
            _log.warning("bus disconnected")
        self.connected.clear()
        self._renew()

    async def _on_error(self, error: Exception) -> None:
        self._renew()
        # Tried again every second: the same trouble is told once.
        text = f"{type(error).__name__}: {error}"
        if text != self._last_error:
            self._last_error = text
            _log.warning("bus trouble", error=text, servers=[_without_credentials(url) for url in self._urls])

    def _renew(self) -> None:
        # nats-py makes every connection from the one context it was given.
        if self._renewals.renewed():
            load_into(self._context, self._tls)


def _host(client: Client) -> str:
    url = client.connected_url
    return url.netloc.rpartition("@")[2] if url else ""


def _without_credentials(url: str) -> str:
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
