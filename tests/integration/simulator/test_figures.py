"""Figures over time, as exporters and consoles read them."""

import time
from typing import Any
from xml.etree import ElementTree

import httpx

from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import PASSWORD, Sdk
from tests.integration.simulator.test_transfers import Web, web  # noqa: F401 - a fixture
from tests.integration.simulator.test_vm_life import only_vm


async def get(web: Web, path: str, **query: str) -> httpx.Response:  # noqa: F811
    """As exporters do: the user's password, and no session."""
    return await web.client.get(f"{web.address}{path}", params=query, auth=("root", PASSWORD))


async def test_updates_have_a_column_for_every_figure_and_the_newest_row_first(web: Web, sdk: Sdk) -> None:  # noqa: F811
    vm = await sdk.call("VM.get_uuid", await only_vm(sdk))
    start = int(time.time()) - 60
    answer = await get(web, "/rrd_updates", start=str(start), cf="AVERAGE", host="true", json="true")
    assert answer.headers["content-type"] == "application/json"
    updates: dict[str, Any] = answer.json()
    legend = updates["meta"]["legend"]
    assert f"AVERAGE:vm:{vm}:cpu0" in legend
    assert any(name.startswith("AVERAGE:host:") and name.endswith(":memory_free_kib") for name in legend)
    moments = [row["t"] for row in updates["data"]]
    assert moments == sorted(moments, reverse=True)
    assert (updates["meta"]["step"], updates["meta"]["rows"]) == (5, len(moments))
    assert {len(row["values"]) for row in updates["data"]} == {updates["meta"]["columns"]} == {len(legend)}


async def test_updates_are_of_who_is_named(web: Web, sdk: Sdk) -> None:  # noqa: F811
    """xapi: ocaml/xcp-rrdd/bin/rrdd/rrdd_http_handler.ml ``get_host_stats``."""
    vm = await sdk.call("VM.get_uuid", await only_vm(sdk))
    srs = [each["uuid"] for each in (await sdk.call("SR.get_all_records")).values()]
    start = str(int(time.time()) - 60)

    async def owners(**query: str) -> set[str]:
        answer = await get(web, "/rrd_updates", start=start, cf="AVERAGE", json="true", **query)
        return {":".join(name.split(":")[1:3]) for name in answer.json()["meta"]["legend"]}

    assert f"vm:{vm}" in await owners()
    assert {name.partition(":")[0] for name in await owners()} == {"vm"}
    assert await owners(vm_uuid=vm) == await owners(uuid=vm) == {f"vm:{vm}"}
    assert await owners(vm_uuid="none", sr_uuid=srs[0]) == {f"sr:{srs[0]}"}
    assert await owners(vm_uuid="none", sr_uuid="all") == {f"sr:{uuid}" for uuid in srs}


async def test_older_figures_are_coarser_and_xml_says_the_same(web: Web) -> None:  # noqa: F811
    start = str(int(time.time()) - 3600)
    answer = await get(web, "/rrd_updates", start=start, cf="MAX")
    tree = ElementTree.fromstring(answer.text)
    assert (tree.tag, tree.findtext("meta/step")) == ("xport", "60")
    rows = tree.findall("data/row")
    assert tree.findtext("meta/rows") == str(len(rows))
    assert len(rows[0].findall("v")) == int(tree.findtext("meta/columns") or 0)
    assert (await get(web, "/rrd_updates", start="then")).status_code == 400


async def test_a_whole_database_has_every_archive(web: Web, sdk: Sdk) -> None:  # noqa: F811
    vm = await sdk.call("VM.get_uuid", await only_vm(sdk))
    for path, query in (("/host_rrd", {}), ("/vm_rrd", {"uuid": vm})):
        tree = ElementTree.fromstring((await get(web, path, **query)).text)
        names = [ds.findtext("name") for ds in tree.findall("ds")]
        assert "cpu0" in names
        assert [len(rra.findall("database/row")) for rra in tree.findall("rra")][::3] == [120, 120, 168, 366]
    assert (await get(web, "/vm_rrd", uuid="none")).status_code == 500


async def test_a_figure_can_be_asked_for_now(sdk: Sdk, simulation: Simulation) -> None:
    vm = await only_vm(sdk)
    sources = {source["name_label"]: source for source in await sdk.call("VM.get_data_sources", vm)}
    assert sources["memory"]["units"] == "B"
    assert await sdk.call("VM.query_data_source", vm, "memory") == float(
        await sdk.call("VM.get_memory_static_max", vm)
    )
    assert (await sdk.refused("VM.query_data_source", vm, "nothing"))[0] == "INTERNAL_ERROR"
    await sdk.run("VM.hard_shutdown", vm)
    assert await sdk.call("VM.get_data_sources", vm) == []
