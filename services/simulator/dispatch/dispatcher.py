"""From a method name and wire arguments to a result or a failure, with xapi's checks in xapi's order."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.simulator.dispatch.accessors import accessor
from services.simulator.dispatch.arguments import Arguments
from services.simulator.dispatch.call import Call, CallFunction
from services.simulator.failure import XapiFailure, ocaml_failure
from services.simulator.model.schema import Message
from services.simulator.model.types import parse_type
from services.simulator.pool import permissions
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool

_log = logging.getLogger(__name__)
EMERGENCY_CALLS = frozenset(
    {
        "host.emergency_clear_mandatory_guidance",
        "host.emergency_disable_tls_verification",
        "host.emergency_ha_disable",
        "host.emergency_reenable_tls_verification",
        "host.emergency_reset_server_certificate",
        "host.get_system_status_capabilities",
        "host.local_management_reconfigure",
        "host.management_disable",
        "host.shutdown_agent",
        "pool.emergency_reset_master",
        "pool.emergency_transition_to_master",
        "session.local_logout",
        "session.slave_local_login_with_password",
    }
)
"""Answered by a supporter that has lost its coordinator (xapi: datamodel.ml ``emergency_calls``)."""
LOCAL_CALLS = EMERGENCY_CALLS | {"session.login_with_password"}
"""Answered by a supporter itself."""
NEVER_ASYNC = frozenset({"event.from"})
"""Against what the data model says (recorded)."""
WITHOUT_TASK = frozenset({"event", "message", "session", "task"})
"""Classes whose calls run without a task of their own."""
TOLERANT_CALLS = frozenset({"session.login_with_password"})
"""Take any number of arguments beyond theirs; so do calls with defaults (recorded)."""
_STRING = parse_type("string")
_PREFIXES = ("Async.", "InternalAsync.")
_CANCELLABLE = frozenset(
    {
        "SR.scan",
        "VDI.copy",
        "VDI.destroy",
        "VDI.list_changed_blocks",
        "VDI.snapshot",
        "VDI.clone",
        "VM.checkpoint",
        "VM.clean_shutdown",
        "VM.clean_reboot",
        "VM.clone",
        "VM.copy",
        "VM.migrate_send",
        "VM.snapshot",
        "VM.destroy",
    }
)


class EmergencyMode(XapiFailure):
    """The host answers almost nothing; the reply has its own shape in JSON-RPC."""


class Dispatcher:
    """``calls`` are the messages with a meaning of their own; all others follow from the data model."""

    def __init__(self, pool: Pool, calls: Mapping[str, CallFunction]) -> None:
        self._pool = pool
        self._arguments = Arguments(pool.model)
        self._functions: dict[str, CallFunction] = {}
        self._custom = calls
        for name, message in pool.model.messages.items():
            function = calls.get(name) or accessor(pool.model.classes[message.cls], message)
            if function is not None:
                self._functions[name] = function

    @property
    def coordinator_fingerprint(self) -> str:
        """SHA-256 of the coordinator's certificate, as it vouches for it: hexadecimal in pairs."""
        return self._pool.coordinator.certificate.fingerprint

    @property
    def method_names(self) -> list[str]:
        """What ``system.listMethods`` answers."""
        return [
            *self._pool.model.messages,
            *sorted(self._pool.model.internal - set(self._pool.model.messages)),
        ]

    async def dispatch(self, host: Host, method: str, args: Sequence[Any]) -> Any:
        """The result, or the task's reference for an ``Async.`` method. Raises ``XapiFailure``."""
        prefix = next((prefix for prefix in _PREFIXES if method.startswith(prefix)), "")
        name = method.removeprefix(prefix)
        name = self._pool.model.aliases.get(name, name)
        if host.emergency and name not in EMERGENCY_CALLS:
            why = ("HOST_UNKNOWN_TO_MASTER", host.ref) if host.unknown else ("HOST_STILL_BOOTING",)
            raise EmergencyMode(*why)
        message = self._pool.model.messages.get(name)
        if message is None:
            raise self._refusal(name, args)
        self._check_count(message, args)
        session = self._session(host, message, args)
        if message.removed:
            raise XapiFailure("MESSAGE_REMOVED")
        if prefix and (not message.has_async or name in NEVER_ASYNC):
            raise XapiFailure("Fault", f"No async mode for this operation (rpc: {name})")
        values = self._values(message, args)
        self._check_role(message, session, values)
        call = Call(self._pool, host, message, session)
        if prefix:
            return self._start(call, message, values)
        try:
            return await self._run(call, message, values)
        except (XapiFailure, ConnectionError):
            raise
        except Exception as error:
            _log.exception("defect in %s", message.full_name)
            raise ocaml_failure(repr(error)) from error

    def _refusal(self, name: str, args: Sequence[Any]) -> XapiFailure:
        """Strangers learn nothing about names; calls of xapi's own are forbidden to others."""
        if args and isinstance(args[0], str):
            self._pool.sessions.use(args[0])
        if name in self._pool.model.internal:
            return XapiFailure("PERMISSION_DENIED", "")
        return XapiFailure("MESSAGE_METHOD_UNKNOWN", name)

    def _check_count(self, message: Message, args: Sequence[Any]) -> None:
        received = len(args) - message.needs_session
        required = message.required_count
        if received < required or (received > required and required == len(message.params)):
            if message.full_name in TOLERANT_CALLS and received > required:
                return
            raise XapiFailure(
                "MESSAGE_PARAMETER_COUNT_MISMATCH", message.full_name, str(required), str(received)
            )

    def _session(self, host: Host, message: Message, args: Sequence[Any]) -> str:
        if not message.needs_session:
            return ""
        ref = self._arguments.read(_STRING, args[0])
        self._pool.sessions.use(ref)
        if host is not self._pool.coordinator and message.full_name not in LOCAL_CALLS:
            raise XapiFailure("HOST_IS_SLAVE", self._pool.coordinator.address)
        return str(ref)

    def _values(self, message: Message, args: Sequence[Any]) -> list[Any]:
        given = args[message.needs_session :]
        values = []
        for position, param in enumerate(message.params):
            if position < len(given):
                values.append(self._arguments.read(param.type, given[position]))
            else:
                values.append(param.default)
        return values

    def _check_role(self, message: Message, session: str, values: Sequence[Any]) -> None:
        if not session or self._pool.db.row("session", session)["is_local_superuser"]:
            return
        permission, roles = permissions.of_call(message, values)
        if self._pool.sessions.use(session) not in roles:
            raise XapiFailure("RBAC_PERMISSION_DENIED", permission, "No permission in user session")

    def _function(self, message: Message) -> CallFunction:
        function = self._functions.get(message.full_name)
        if function is None:
            raise XapiFailure("NOT_IMPLEMENTED", message.full_name)
        return function

    async def _run(self, call: Call, message: Message, values: Sequence[Any]) -> Any:
        if message.full_name not in self._custom or not message.has_async or message.cls in WITHOUT_TASK:
            return await self._function(message)(call, *values)
        tasks = self._pool.tasks
        task = tasks.create(message.full_name, "", call.host.ref, session=call.session)
        tasks.start(task)
        try:
            return await self._function(message)(replace(call, task=task), *values)
        finally:
            tasks.discard(task)

    def _start(self, call: Call, message: Message, values: Sequence[Any]) -> str:
        name = f"Async.{message.full_name}"
        cancellable = message.full_name in _CANCELLABLE
        task = self._pool.tasks.create(name, "", call.host.ref, cancellable, call.session)
        self._pool.tasks.start(task)
        self._pool.work(self._finish(replace(call, task=task), message, values))
        return task

    async def _finish(self, call: Call, message: Message, values: Sequence[Any]) -> None:
        try:
            result = await self._function(message)(call, *values)
        except XapiFailure as failure:
            self._pool.tasks.fail(call.task, failure)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a defect of ours must end the task, as in xapi
            _log.exception("defect in %s", message.full_name)
            self._pool.tasks.fail(call.task, ocaml_failure(repr(error)))
        else:
            self._pool.tasks.succeed(call.task, result)
