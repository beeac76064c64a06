"""Calling the hooks of a capture: before its snapshot, and afterwards whatever came of it."""

from dataclasses import replace

from services.chassis.errors import FailedPrecondition
from services.hypervisor.app.owed import Owed
from services.hypervisor.app.steps import Passed
from services.hypervisor.domain.capture import Hook, Moment
from services.hypervisor.domain.names import source_name, vm_name
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.source import Source
from services.hypervisor.ports.guests import Hooks
from services.hypervisor.ports.pool import PoolConnection

HOOK_FAILED = "HOOK_FAILED"


class HookCalls:
    """Those for afterwards are called at least once."""

    def __init__(self, owed: Owed, hooks: Hooks, passed: Passed) -> None:
        self._owed = owed
        self._hooks = hooks
        self._passed = passed

    async def before(self, source: Source, hooks: tuple[Hook, ...]) -> None:
        """Raises FailedPrecondition HOOK_FAILED."""
        for hook in hooks:
            if hook.moment is Moment.BEFORE_SNAPSHOT and (wrong := await self._call(source, hook)):
                raise wrong

    async def after(self, connection: PoolConnection, source: Source) -> None:
        """Raises FailedPrecondition HOOK_FAILED after the snapshot has been removed."""
        owed = (await self._owed.of(source)).hooks_owed
        if not owed:
            return
        wrong = [error for hook in owed if (error := await self._call(source, hook))]
        if wrong:
            await connection.remove_snapshot(source.source_id, keep_tracking=False)
        await self._owed.note(replace(await self._owed.of(source), hooks_owed=()))
        self._passed("settle:hooks")
        if wrong:
            raise wrong[0]

    async def _call(self, source: Source, hook: Hook) -> FailedPrecondition | None:
        """The error of a hook that may not fail."""
        body = {
            "vm": vm_name(source.pool_id, source.vm_id),
            "moment": hook.moment.value,
            "source": source_name(source.pool_id, source.source_id),
        }
        wrong = await self._hooks.call(hook, body)
        if not wrong:
            return None
        moment = hook.moment.value.lower().replace("_", " the ")
        told = f"The hook at {hook.host} {moment} failed: {wrong}."
        if hook.optional:
            await self._owed.tell(source, Notice(HOOK_FAILED, told))
            return None
        return FailedPrecondition(
            told, reason=HOOK_FAILED, hint="Look at that server, or make the hook optional in the policy."
        )
