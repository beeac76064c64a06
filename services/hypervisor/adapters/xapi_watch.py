"""The inventory as a stream of pictures (xapi: event.from; ocaml/xapi/xapi_event.ml)."""

from collections.abc import AsyncIterator
from typing import Any

import structlog

from services.chassis.errors import DataLoss
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_records import CLASSES, Records
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.domain.pool import Member, Picture

_WAIT_S = 10.0
_FIRST_LOOK_TIMEOUT_S = 300.0
_LOST = frozenset({"EVENTS_LOST", "EVENT_FROM_TOKEN_PARSE_FAILURE", "HANDLE_INVALID"})

_log = structlog.get_logger()


class XapiInventory:
    """Pictures of one pool."""

    def __init__(self, pool_id: str, session: XapiSession) -> None:
        self._pool_id = pool_id
        self._session = session

    async def watch(self) -> AsyncIterator[Picture]:
        """See ports.Inventory. Everything is looked at anew whenever events may have been missed: after a new
        login, when generations go backwards, and when the number of records is not what the pool says."""
        while True:
            async for picture in self._watch_until_unsure():
                yield picture

    async def members(self) -> tuple[Member, ...]:
        """See ports.Inventory."""
        with translating("reading the certificates of the hosts"):
            hosts: dict[str, dict[str, Any]] = await self._session.call("host.get_all_records")
            members = []
            for ref, host in hosts.items():
                try:
                    pem = await self._session.call("host.get_server_certificate", ref)
                except XapiFailure as failure:
                    _log.warning("no certificate learned", host=host["uuid"], pool_says=failure.words)
                    continue
                members.append(Member(host["uuid"], host["address"], str(pem)))
        return tuple(members)

    async def _watch_until_unsure(self) -> AsyncIterator[Picture]:
        records = Records(self._pool_id)
        link = await self._session.link()
        token, surplus = "", None
        while True:
            first = token == ""
            try:
                answer = await self._session.call(
                    "event.from",
                    list(CLASSES),
                    token,
                    _WAIT_S,
                    timeout_s=_FIRST_LOOK_TIMEOUT_S if first else _WAIT_S * 2,
                )
            except XapiFailure as failure:
                if failure.code in _LOST:
                    self._look_again(failure.code)
                    return
                with translating("watching the pool"):
                    raise
            if not first and (await self._session.link()) is not link:
                self._look_again("a new login")
                return
            if _generation(answer["token"]) < _generation(token):
                self._look_again("generations went backwards")
                return
            token = answer["token"]
            for event in answer["events"]:
                records.apply(event)
            difference = _surplus(answer["valid_ref_counts"], records.counts())
            if surplus is not None and difference != surplus:
                self._look_again("the number of records is not what the pool says")
                return
            surplus = difference
            if answer["events"] or first:
                picture = records.picture()
                if picture is None:
                    raise DataLoss(
                        "The pool told nothing of itself.",
                        reason="POOL_WITHOUT_RECORD",
                        hint="Look into the coordinator's log; its database may be damaged.",
                    )
                yield picture

    def _look_again(self, why: str) -> None:
        _log.info("looking at the whole pool again", pool=self._pool_id, because=why)


def _generation(token: str) -> int:
    return int(token.partition(",")[0] or 0)


def _surplus(told: dict[str, int], known: dict[str, int]) -> dict[str, int]:
    """Per class, how many more records there are than we know: constant, or events were missed."""
    return {name: int(told.get(name, count)) - count for name, count in known.items()}
