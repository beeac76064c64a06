"""Lists of the notifier in pages: deliveries of one moment are neither lost nor shown twice."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from xenkeep.notifier.v1 import notifier_pb2 as pb

from services.chassis.errors import InvalidInput
from services.chassis.paging import LARGEST_PAGE
from services.notifier.adapters.memory_store import MemoryStore
from services.notifier.api import ChannelApi
from services.notifier.app.deliveries import DeliveryList
from tests.contract.notifier.samples import NOW, a_delivery
from tests.support.pages import require_whole
from tests.unit.notifier.test_channel_desk import MAIL, desk
from tests.unit.notifier.test_courier import FakeSinks

NOBODY = cast("Any", None)
"""The caller's context, which no method looks at."""


def api_of(store: MemoryStore) -> ChannelApi:
    return ChannelApi(desk(store, FakeSinks()), DeliveryList(store))


async def test_deliveries_are_listed_in_pages_newest_first() -> None:
    store = MemoryStore()
    for delivery_id, minute in (("a", 1), ("b", 2), ("c", 2), ("d", 2), ("e", 3)):
        made = replace(a_delivery(delivery_id=delivery_id), create_time=NOW + timedelta(minutes=minute))
        store.books.by_id[delivery_id] = made
    store.books.by_id["other"] = a_delivery(delivery_id="other", channel="elsewhere")
    api = api_of(store)

    async def ask(size: int, token: str) -> tuple[Sequence[str], str]:
        request = pb.ListDeliveriesRequest(channel="channels/operators", page_size=size, page_token=token)
        answer = await api.ListDeliveries(request, NOBODY)
        return [each.name.rpartition("/")[2] for each in answer.deliveries], answer.next_page_token

    await require_whole(ask, "edcba")


async def test_channels_are_listed_in_pages_by_name() -> None:
    store = MemoryStore()
    keeper = desk(store, FakeSinks())
    for name in ("mail", "oncall", "syslog"):
        await keeper.create(replace(MAIL, name=name))
    api = api_of(store)

    async def ask(size: int, token: str) -> tuple[Sequence[str], str]:
        answer = await api.ListChannels(pb.ListChannelsRequest(page_size=size, page_token=token), NOBODY)
        return [channel.name for channel in answer.channels], answer.next_page_token

    await require_whole(ask, [f"channels/{name}" for name in ("mail", "oncall", "syslog")])


async def test_no_page_is_longer_than_a_message_may_be() -> None:
    store = MemoryStore()
    for number in range(LARGEST_PAGE + 1):
        store.books.by_id[f"{number:04d}"] = a_delivery(delivery_id=f"{number:04d}")
    answer = await api_of(store).ListDeliveries(pb.ListDeliveriesRequest(page_size=10**6), NOBODY)
    assert (LARGEST_PAGE, "0001") == (len(answer.deliveries), answer.next_page_token)


async def test_a_page_of_fewer_than_no_entries_is_refused() -> None:
    api = api_of(MemoryStore())
    for call in (
        api.ListDeliveries(pb.ListDeliveriesRequest(page_size=-1), NOBODY),
        api.ListChannels(pb.ListChannelsRequest(page_size=-1), NOBODY),
    ):
        with pytest.raises(InvalidInput) as refused:
            await call
        assert "PAGE_SIZE_INVALID" == refused.value.reason
