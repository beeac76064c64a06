"""Figures over time, as exporters and consoles read them."""

import re
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx

from services.simulator.pool.description import VmDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import PASSWORD, Sdk, describe, running
from tests.integration.simulator.test_transfers import Web, web  # noqa: F401 - a fixture
from tests.integration.simulator.test_vm_life import only_vm


async def get(web: Web, path: str, **query: str) -> httpx.Response:  # noqa: F811
    """As exporters do: the user's password, and no session."""
    return await web.client.get(f"{web.address}{path}", params=query, auth=("root", PASSWORD))


async def test_updates_have_a_column_for_every_figure_and_the_newest_row_first(web: Web, sdk: Sdk) -> None:  # noqa: F811
    """Numbers are text, and nothing says that it is JSON (xapi: ocaml/libs/xapi-rrd/lib/rrd_updates.ml)."""
    vm = await sdk.call("VM.get_uuid", await only_vm(sdk))
    start = int(time.time()) - 60
    answer = await get(web, "/rrd_updates", start=str(start), cf="AVERAGE", host="true", json="true")
    assert "content-type" not in answer.headers
    updates: dict[str, Any] = answer.json()
    legend = updates["meta"]["legend"]
    assert f"AVERAGE:vm:{vm}:cpu0" in legend
    assert legend[0].startswith("AVERAGE:host:")
    figures = {name.rpartition(":")[2] for name in legend if ":host:" in name}
    (sr,) = await sdk.call("SR.get_by_name_label", "Shared storage")
    prefix = (await sdk.call("SR.get_uuid", sr))[:8]
    assert {"cpu_avg", "loadavg", "memory_free_kib", "pif_aggr_rx", "pool_task_count"} <= figures
    assert {f"iops_read_{prefix}", f"io_throughput_total_{prefix}", f"write_latency_{prefix}"} <= figures
    moments = [int(row["t"]) for row in updates["data"]]
    assert moments == sorted(moments, reverse=True)
    assert start <= moments[-1] < start + 5
    assert (updates["meta"]["step"], updates["meta"]["rows"]) == ("5", str(len(moments)))
    assert {str(len(row["values"])) for row in updates["data"]} == {updates["meta"]["columns"]}
    assert len(legend) == int(updates["meta"]["columns"])
    assert all(float(value) >= 0 for row in updates["data"] for value in row["values"])


async def test_old_releases_write_javascript(tmp_path: Path) -> None:
    """Xen Orchestra reads it as JSON5 (xapi-project/xcp-rrd: lib/rrd_updates.ml ``json_of_t``)."""
    async with running(describe(tmp_path / "old", version="8.2")) as simulation:
        sdk = await Sdk(simulation).log_in()
        web = Web(simulation, sdk)
        start = str(int(time.time()) - 20)
        text = (await get(web, "/rrd_updates", start=start, cf="AVERAGE", json="true")).text
        assert re.fullmatch(
            r'\{meta: \{start:\d+,step:5,end:\d+,rows:(\d+),columns:\d+,legend:\["AVERAGE:vm:.*"\]\},'
            r"data:\[(\{t:\d+,values:\[[\d.,]+\]\},?)+\]\}",
            text,
        )
        await web.client.aclose()
        sdk.close()


async def test_there_is_no_minimum_of_single_steps(web: Web) -> None:  # noqa: F811
    """xapi: ocaml/xcp-rrdd/bin/rrdd/rrdd_monitor.ml ``create_rras``."""

    async def functions(ago: int, **query: str) -> tuple[set[str], str]:
        answer = await get(web, "/rrd_updates", start=str(int(time.time()) - ago), json="true", **query)
        meta = answer.json()["meta"]
        return {name.partition(":")[0] for name in meta["legend"]}, meta["step"]

    assert await functions(60) == ({"AVERAGE"}, "5")
    assert await functions(60, cf="MIN") == ({"MIN"}, "60")
    assert await functions(3600) == ({"AVERAGE", "MIN", "MAX"}, "60")
    assert await functions(60, interval="3600") == ({"AVERAGE", "MIN", "MAX"}, "3600")


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
    assert answer.text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    assert (await get(web, "/rrd_updates", start="-120")).status_code == 200
    assert (await get(web, "/rrd_updates", start="then")).status_code == 500
    assert (await get(web, "/rrd_updates")).status_code == 400


async def test_a_whole_database_has_every_archive(web: Web, sdk: Sdk) -> None:  # noqa: F811
    vm = await sdk.call("VM.get_uuid", await only_vm(sdk))
    for path, query in (("/host_rrd", {}), ("/vm_rrd", {"uuid": vm})):
        answer = await get(web, path, **query)
        assert (answer.http_version, answer.headers.get("content-length")) == ("HTTP/1.0", None)
        tree = ElementTree.fromstring(answer.text)
        names = [ds.findtext("name") for ds in tree.findall("ds")]
        assert "cpu0" in names
        archives = [
            (rra.findtext("cf"), rra.findtext("pdp_per_row"), len(rra.findall("database/row")))
            for rra in tree.findall("rra")
        ]
        assert archives[:2] == [("AVERAGE", "1", 120), ("AVERAGE", "12", 120)]
        assert archives[-1] == ("MAX", "17280", 366)
        assert len(archives) == 10
        same = (await get(web, path, json="true", **query)).json()
        assert [source["name"] for source in same["ds"]] == names
        assert [(rra["cf"], rra["pdp_per_row"], len(rra["database"])) for rra in same["rra"]] == archives
    assert (await get(web, "/vm_rrd", uuid="none")).status_code == 500
    assert (await get(web, "/sr_rrd")).status_code == 400


async def test_the_coordinator_keeps_the_figures_of_vms_that_stopped(web: Web, sdk: Sdk) -> None:  # noqa: F811
    vm = await only_vm(sdk)
    uuid = await sdk.call("VM.get_uuid", vm)
    await sdk.run("VM.hard_shutdown", vm)
    away = await get(web, "/vm_rrd", uuid=uuid)
    assert away.status_code == 302
    assert away.headers["location"] == f"{web.address}/vm_rrd?rrd_unarchive=&uuid={uuid}"
    kept = await web.client.get(away.headers["location"], auth=("root", PASSWORD))
    assert ElementTree.fromstring(kept.text).findtext("ds/name") == "cpu0"
    (template, *_) = await sdk.call("VM.get_all_records_where", 'field "is_a_template"="true"')
    uuid = await sdk.call("VM.get_uuid", template)
    assert (await get(web, "/vm_rrd", uuid=uuid, rrd_unarchive="")).status_code == 500


async def test_the_figures_of_a_vm_are_with_its_host(tmp_path: Path) -> None:
    vm = VmDescription(name="web", host="host-2")
    async with running(describe(tmp_path / "two", 2, vms=[vm])) as simulation:
        sdk = await Sdk(simulation).log_in()
        web = Web(simulation, sdk)
        uuid = await sdk.call("VM.get_uuid", await only_vm(sdk))
        away = await get(web, "/vm_rrd", uuid=uuid, session_id=sdk.session.handle)
        there = f"https://127.0.0.12:{simulation.pool.description.https_port}/vm_rrd"
        assert away.headers["location"].partition("?")[0] == there
        answer = await web.client.get(away.headers["location"])
        assert ElementTree.fromstring(answer.text).findtext("ds/name") == "cpu0"
        await web.client.aclose()
        sdk.close()


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
