"""The law of ports.metadata."""

import json
import uuid
from collections.abc import AsyncIterator

import pytest

from services.chassis.errors import NotFound
from tests.contract.hypervisor.worlds import World


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


async def test_the_database_is_read_whole_and_the_pool_would_take_it_back(world: World) -> None:
    dump = b"".join([piece async for piece in world.pool.database()])
    assert (dump.startswith(b"<") and dump.endswith(b"</database>")) or dump == b"<database/>"
    assert "" == await world.pool.check_database(len(dump), _pieces(dump))


async def test_what_is_no_dump_is_refused_in_the_pools_words(world: World) -> None:
    nonsense = b"<nonsense/>" * 500
    assert await world.pool.check_database(len(nonsense), _pieces(nonsense))


async def test_the_description_names_storage_and_networks_and_tells_no_passwords(world: World) -> None:
    told = json.loads(await world.pool.description())
    assert told["SR"]
    assert told["network"]
    assert "password" not in json.dumps(told).lower()


async def test_a_host_nobody_knows_has_no_files(world: World) -> None:
    with pytest.raises(NotFound):
        async for _ in world.pool.host_files(str(uuid.uuid4())):
            pass


async def test_each_host_gives_its_files(world: World) -> None:
    for host_id, name in await world.pool.hosts():
        assert name
        files = b"".join([piece async for piece in world.pool.host_files(host_id)])
        assert files
