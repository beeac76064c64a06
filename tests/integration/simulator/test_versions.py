"""Releases: what each has and lacks, and that a VM lives, is snapshotted and exported in all of them."""

import contextlib
import json
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.simulator.model.lifecycle import NAMED_RELEASES
from services.simulator.model.schema import load_model
from services.simulator.pool.description import DiskDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.integration.simulator.test_transfers import Web

VERSIONS = ("8.0", "8.2", "23.1.0", "24.19.0", "26.17.0")
MOMENTS: dict[str, tuple[int, ...]] = {
    "8.0": (0, NAMED_RELEASES.index("naples")),
    "8.2": (0, NAMED_RELEASES.index("stockholm_psr")),
    "23.1.0": (23, 1, 0),
    "24.19.0": (24, 19, 0),
    "26.17.0": (26, 17, 0),
}
NEVER_SHOWN = {("pool", "repository_proxy_password")}


def moment(name: str) -> tuple[int, ...]:
    if name in NAMED_RELEASES:
        return (0, NAMED_RELEASES.index(name))
    return tuple(int(part) for part in name.removesuffix("-next").split("."))


def fields_of(version: str) -> dict[str, set[str]]:
    """By class, from the facts of the data model: what was published, prototyped or deprecated by then."""
    facts = json.loads(resources.files("services.simulator.model").joinpath("datamodel.json").read_text())

    def there(transitions: list[list[str]]) -> bool:
        states = [state for state, since in transitions if moment(since) <= MOMENTS[version]]
        return bool(states) and states[-1] != "removed"

    return {
        name: {
            field
            for field, about in cls["fields"].items()
            if there(about["since"]["transitions"]) and (name, field) not in NEVER_SHOWN
        }
        for name, cls in facts["classes"].items()
    }


@contextlib.asynccontextmanager
async def pool_of(version: str, tmp_path: Path) -> AsyncIterator[tuple[Simulation, Sdk]]:
    """One VM, whose guest can be quiesced."""
    vm = VmDescription(name="web", host="host-1", disks=[DiskDescription(size_bytes=4 * MIB)], vss=True)
    async with running(describe(tmp_path / version, vms=[vm], version=version)) as simulation:
        sdk = await Sdk(simulation).log_in()
        try:
            yield simulation, sdk
        finally:
            sdk.close()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_release_has_its_fields_and_a_vm_lives_in_it(version: str, tmp_path: Path) -> None:
    async with pool_of(version, tmp_path) as (simulation, sdk):
        await every_record_has_its_fields(simulation, sdk, fields_of(version))
        (vm,) = await sdk.call("VM.get_by_name_label", "web")
        await sdk.run("VM.snapshot", vm, "s")
        await sdk.run("VM.checkpoint", vm, "c")
        await sdk.run("VM.clean_shutdown", vm)
        (snapshot,) = await sdk.call("VM.get_by_name_label", "s")
        await sdk.run("VM.revert", snapshot)
        await sdk.run("VM.start", vm, False, False)
        assert await sdk.call("VM.get_power_state", vm) == "Running"
        web = Web(simulation, sdk)
        response, task = await web.send("GET", "/export", {"ref": snapshot})
        assert (response.content[:7], task["status"]) == (b"ova.xml", "success")
        await web.client.aclose()


async def every_record_has_its_fields(
    simulation: Simulation, sdk: Sdk, expected: dict[str, set[str]]
) -> None:
    seen = set()
    for name, message in simulation.pool.model.messages.items():
        if message.name != "get_all_records" or message.removed:
            continue
        for record in (await sdk.call(name)).values():
            assert set(record) == expected[message.cls], message.cls
            seen.add(message.cls)
    assert {"VM", "VDI", "VBD", "VIF", "SR", "PBD", "host", "pool", "network", "PIF", "SM"} <= seen


def test_releases_differ_where_they_are_known_to() -> None:
    def having(cls: str, field: str) -> list[str]:
        return [version for version in VERSIONS if field in fields_of(version)[cls]]

    assert having("VM", "NVRAM") == [*VERSIONS]
    assert having("VDI", "cbt_enabled") == [*VERSIONS]
    assert having("VM", "pending_guidances") == ["23.1.0", "24.19.0", "26.17.0"]
    assert having("VM", "groups") == ["26.17.0"]
    for version in VERSIONS:
        model = load_model(version)
        assert {name: set(cls.fields) for name, cls in model.classes.items()} == {
            name: fields for name, fields in fields_of(version).items() if name in model.classes
        }


async def test_only_release_8_0_quiesces_a_guest(tmp_path: Path) -> None:
    async with pool_of("8.0", tmp_path) as (simulation, sdk):
        (vm,) = await sdk.call("VM.get_by_name_label", "web")
        assert "snapshot_with_quiesce" in await sdk.call("VM.get_allowed_operations", vm)
        snapshot = await sdk.call("VM.snapshot_with_quiesce", vm, "q")
        info = await sdk.call("VM.get_snapshot_info", snapshot)
        assert info["disk-snapshot-type"] == "quiesced"
        simulation.pool.mishaps.fail_snapshot(await sdk.call("VM.get_uuid", vm), 0)
        failure = await sdk.refused("VM.snapshot_with_quiesce", vm, "q")
        assert failure == ["VM_SNAPSHOT_WITH_QUIESCE_FAILED", vm]
    async with pool_of("8.2", tmp_path) as (_, sdk):
        (vm,) = await sdk.call("VM.get_by_name_label", "web")
        assert "snapshot_with_quiesce" not in await sdk.call("VM.get_allowed_operations", vm)
        assert await sdk.refused("VM.snapshot_with_quiesce", vm, "q") == ["MESSAGE_REMOVED"]


async def test_a_guest_without_the_service_is_not_quiesced(tmp_path: Path) -> None:
    async with running(describe(tmp_path / "pool", version="8.0")) as simulation:
        sdk = await Sdk(simulation).log_in()
        (vm,) = await sdk.call("VM.get_by_name_label", "web")
        failure = await sdk.refused("VM.snapshot_with_quiesce", vm, "q")
        assert failure[:2] == ["VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED", vm]
        sdk.close()


@pytest.mark.parametrize(
    ("call", "first", "last"),
    [
        ("VM.snapshot_with_quiesce", "8.0", "8.0"),
        ("VM_group.create", "26.17.0", "26.17.0"),
        ("VM.sysprep", "26.17.0", "26.17.0"),
        ("VDI.revert", "26.17.0", "26.17.0"),
        ("VTPM.create", "23.1.0", "26.17.0"),
        ("VDI.enable_cbt", "8.0", "26.17.0"),
    ],
)
def test_calls_come_and_go_with_releases(call: str, first: str, last: str) -> None:
    offering = [version for version in VERSIONS if load_model(version).offers(call)]
    assert (offering[0], offering[-1]) == (first, last)


@pytest.mark.parametrize(
    ("version", "counts"),
    [
        ("8.0", {"VM.snapshot": 2, "host.disable": 1, "host.evacuate": 1, "tunnel.create": 2}),
        ("8.2", {"VM.snapshot": 2, "host.disable": 1, "host.evacuate": 1, "tunnel.create": 2}),
        ("23.1.0", {"VM.snapshot": 3, "host.disable": 1, "host.evacuate": 2, "tunnel.create": 3}),
        ("24.19.0", {"VM.snapshot": 3, "host.disable": 1, "host.evacuate": 3, "tunnel.create": 3}),
        ("26.17.0", {"VM.snapshot": 3, "host.disable": 2, "host.evacuate": 3, "tunnel.create": 3}),
    ],
)
def test_calls_got_parameters_later(version: str, counts: dict[str, int]) -> None:
    messages = load_model(version).messages
    assert {name: len(messages[name].params) for name in counts} == counts


async def test_a_third_argument_of_snapshot_is_too_many_before_21_4(tmp_path: Path) -> None:
    async with pool_of("8.2", tmp_path) as (_, sdk):
        (vm,) = await sdk.call("VM.get_by_name_label", "web")
        assert await sdk.refused("VM.snapshot", vm, "s", []) == [
            "MESSAGE_PARAMETER_COUNT_MISMATCH",
            "VM.snapshot",
            "2",
            "3",
        ]


@pytest.mark.parametrize("version", ["9", "nile", "", "7.6"])
def test_an_unknown_release_is_refused_by_name(version: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"give 8\.0, 8\.1, 8\.2 or one of xapi itself"):
        describe(tmp_path / "pool", version=version)


@pytest.mark.parametrize(("version", "status"), [("24.19.0", 404), ("26.17.0", 200)])
async def test_qcow2_goes_over_http_from_25_27_on(version: str, status: int, tmp_path: Path) -> None:
    async with pool_of(version, tmp_path) as (simulation, sdk):
        web = Web(simulation, sdk)
        vdis = simulation.pool.db.rows("VDI")
        disk = next(row.ref for row in vdis if row["name_label"] == "web disk 0")
        params: dict[str, Any] = {"vdi": disk, "format": "qcow2"}
        response, task = await web.send("GET", "/export_raw_vdi", params)
        assert response.status_code == status
        if status == 200:
            assert (response.content[:4], task["status"]) == (b"QFI\xfb", "success")
            copy = await sdk.call("VDI.snapshot", disk)
            response, task = await web.send(
                "PUT", "/import_raw_vdi", params | {"vdi": copy}, response.content
            )
            assert task["status"] == "success"
        await web.client.aclose()
