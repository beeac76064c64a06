"""Virtual GPUs: where VMs with one run, what they cannot do, and how they leave a pool and come back."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.simulator.pool.description import (
    DiskDescription,
    GpuDescription,
    GpuTypeDescription,
    HostDescription,
    VmDescription,
)
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.integration.simulator.test_memory_images import made
from tests.integration.simulator.test_transfers import Web, web  # noqa: F401 - a fixture
from tests.integration.simulator.test_vm_life import disk_of, only_vm, snapshot

NULL = "OpaqueRef:NULL"
THIRD = GpuTypeDescription(name="Third", capacity=3, together_with=["Third"])
HALF, WHOLE = GpuTypeDescription(name="Half", capacity=2), GpuTypeDescription(name="Full", capacity=1)


def gpu(device: str = "10de/1eb8", **more: Any) -> GpuDescription:
    return GpuDescription(name="Tesla", device=device, types=[HALF, WHOLE, THIRD], **more)


def hosts(*with_gpus: list[GpuDescription]) -> list[HostDescription]:
    return [
        HostDescription(name=f"host-{number}", address=f"127.0.0.{10 + number}", cpus=1, gpus=gpus)
        for number, gpus in enumerate(with_gpus, 1)
    ]


def halted() -> list[VmDescription]:
    return [VmDescription(name="web", disks=[DiskDescription(size_bytes=8 * MIB)], memory_bytes=16 * MIB)]


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    """One host has no processor, the other has one; a halted VM."""
    pool = describe(tmp_path / "pool", hosts=hosts([], [gpu()]), vms=halted())
    async with running(pool) as simulation:
        yield simulation


async def kind(sdk: Sdk, name: str) -> str:
    records = await sdk.call("VGPU_type.get_all_records")
    (ref,) = [ref for ref, record in records.items() if record["model_name"] == name]
    return str(ref)


async def group(sdk: Sdk) -> str:
    (ref,) = await sdk.call("GPU_group.get_all")
    return str(ref)


async def with_gpu(sdk: Sdk, vm: str, name: str = "Half") -> str:
    return str(await sdk.call("VGPU.create", vm, await group(sdk), "0", {"a": "b"}, await kind(sdk, name)))


async def test_what_a_processor_offers_its_group_offers(sdk: Sdk) -> None:
    (pgpu,) = (await sdk.call("PGPU.get_all_records")).values()
    (found,) = (await sdk.call("GPU_group.get_all_records")).values()
    types = {name: await kind(sdk, name) for name in ("passthrough", "Half", "Full", "Third")}
    assert set(found["supported_VGPU_types"]) == set(found["enabled_VGPU_types"]) == set(types.values())
    assert (found["GPU_types"], len(found["PGPUs"])) == (["10de/1eb8"], 1)
    assert pgpu["supported_VGPU_max_capacities"][types["Half"]] == "2"
    half = await sdk.call("VGPU_type.get_record", types["Half"])
    assert (half["supported_on_GPU_groups"], half["supported_on_PGPUs"]) == (
        [pgpu["GPU_group"]],
        found["PGPUs"],
    )
    assert await sdk.call("host.get_PGPUs", pgpu["host"]) == found["PGPUs"]


async def test_a_vm_runs_where_its_gpu_is_until_there_is_no_room(sdk: Sdk) -> None:
    first = await only_vm(sdk)
    vgpu = await with_gpu(sdk, first)
    clones = [(await sdk.run("VM.clone", first, f"clone {n}"))[7:-8] for n in range(2)]
    await sdk.run("VM.start", first, False, False)
    (pgpu,) = await sdk.call("PGPU.get_all")
    record = await sdk.call("VGPU.get_record", vgpu)
    assert (record["currently_attached"], record["resident_on"]) == (True, pgpu)
    assert await sdk.call("VM.get_resident_on", first) == await sdk.call("PGPU.get_host", pgpu)
    half, full = await kind(sdk, "Half"), await kind(sdk, "Full")
    assert await sdk.call("GPU_group.get_remaining_capacity", await group(sdk), half) == "1"
    assert await sdk.call("PGPU.get_remaining_capacity", pgpu, full) == "0"
    await sdk.run("VM.start", clones[0], False, False)
    code = "PGPU_INSUFFICIENT_CAPACITY_FOR_VGPU"
    assert await sdk.refused("VM.start", clones[1], False, False) == [code, pgpu, half]
    await sdk.run("VM.hard_shutdown", first)
    assert (await sdk.call("VGPU.get_record", vgpu))["resident_on"] == NULL
    await sdk.run("VM.start", clones[1], False, False)


async def test_another_type_waits_until_those_that_run_are_gone(sdk: Sdk) -> None:
    first = await only_vm(sdk)
    other = (await sdk.run("VM.clone", first, "other"))[7:-8]
    await with_gpu(sdk, first)
    await with_gpu(sdk, other, "Full")
    await sdk.run("VM.start", first, False, False)
    refused = await sdk.refused("VM.start", other, False, False)
    assert refused[0] == "VGPU_TYPE_NOT_COMPATIBLE_WITH_RUNNING_TYPE"


async def test_a_host_without_the_gpu_is_refused(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    await with_gpu(sdk, vm)
    (bare,) = [ref for ref, host in (await sdk.call("host.get_all_records")).items() if not host["PGPUs"]]
    refused = await sdk.refused("VM.start_on", vm, bare, False, False)
    assert refused == ["VM_REQUIRES_VGPU", vm, await group(sdk), await kind(sdk, "Half")]
    assert bare not in await sdk.call("VM.get_possible_hosts", vm)
    assert await sdk.refused("VM.assert_agile", vm) == ["VM_HAS_VGPU", vm]
    for vgpu in await sdk.call("VM.get_VGPUs", vm):
        await sdk.call("VGPU.destroy", vgpu)
    await with_gpu(sdk, vm, "passthrough")
    refused = await sdk.refused("VM.start_on", vm, bare, False, False)
    assert refused == ["VM_REQUIRES_GPU", vm, await group(sdk)]


async def test_a_host_without_room_is_refused_by_the_type_whatever_else_is_there(sdk: Sdk) -> None:
    """xapi: ocaml/xapi/vgpuops.ml ``fail_creation``."""
    first = await only_vm(sdk)
    other = (await sdk.run("VM.clone", first, "other"))[7:-8]
    await with_gpu(sdk, first, "Full")
    await with_gpu(sdk, other)
    await sdk.run("VM.start", first, False, False)
    host = await sdk.call("VM.get_resident_on", first)
    refused = await sdk.refused("VM.start_on", other, host, False, False)
    assert refused == ["VM_REQUIRES_VGPU", other, await group(sdk), await kind(sdk, "Half")]


async def test_several_in_one_vm_are_numbered_and_placed_together(sdk: Sdk) -> None:
    """xapi: ocaml/xapi/xapi_vgpu.ml ``get_valid_device``."""
    vm = await only_vm(sdk)
    third = await kind(sdk, "Third")
    made = [await with_gpu(sdk, vm, "Third") for _ in range(2)]
    made.append(await sdk.call("VGPU.create", vm, await group(sdk), "20", {}, third))
    devices = [await sdk.call("VGPU.get_device", ref) for ref in made]
    assert devices == ["0", "1", "20"]

    async def refused(device: str, type_: str = third) -> list[str]:
        return await sdk.refused("VGPU.create", vm, await group(sdk), device, {}, type_)

    assert await refused("1") == ["DEVICE_ALREADY_EXISTS", "1"]
    assert await refused("21") == ["INVALID_DEVICE", "21"]
    assert await refused("x") == ["INTERNAL_ERROR", 'Failure("int_of_string")']
    half = await kind(sdk, "Half")
    assert await refused("2", half) == ["VGPU_TYPE_NOT_COMPATIBLE", half]
    (pgpu,) = await sdk.call("PGPU.get_all")
    await sdk.run("VM.start", vm, False, False)
    assert {await sdk.call("VGPU.get_resident_on", ref) for ref in made} == {pgpu}
    assert await refused("0") == ["VM_BAD_POWER_STATE", vm, "halted", "running"]
    await sdk.run("VM.hard_shutdown", vm)
    await with_gpu(sdk, vm, "Third")
    there = await sdk.call("PGPU.get_host", pgpu)
    assert await sdk.refused("VM.start_on", vm, there, False, False) == [
        "VM_REQUIRES_VGPU",
        vm,
        await group(sdk),
        third,
    ]
    for _ in range(21 - 4):
        await with_gpu(sdk, vm, "Third")
    assert await refused("0") == ["VM_PCI_BUS_FULL", vm]


async def test_a_vm_with_a_gpu_neither_sleeps_nor_moves_unless_it_may(sdk: Sdk, tmp_path: Path) -> None:
    vm = await only_vm(sdk)
    await with_gpu(sdk, vm)
    await sdk.run("VM.start", vm, False, False)
    for method, *args in (("VM.suspend",), ("VM.checkpoint", "c")):
        assert await sdk.refused(method, vm, *args) == ["VM_HAS_VGPU", vm]
    allowed = await sdk.call("VM.get_allowed_operations", vm)
    assert not {"suspend", "checkpoint", "pool_migrate", "migrate_send"} & set(allowed)
    assert "snapshot" in allowed
    told = gpu(compatibility_metadata={"driver": "1"})
    licensed = {"restrict_vgpu_migration": "false"}
    pool = describe(tmp_path / "b", hosts=hosts([told], [told]), vms=halted(), restrictions=licensed)
    async with running(pool) as other:
        able = await Sdk(other).log_in()
        vm = await only_vm(able)
        vgpu = await with_gpu(able, vm)
        await able.run("VM.start", vm, False, False)
        (there,) = set(await able.call("host.get_all")) - {await able.call("VM.get_resident_on", vm)}
        await able.run("VM.pool_migrate", vm, there, {})
        (pgpu,) = await able.call("host.get_PGPUs", there)
        assert (await able.call("VGPU.get_record", vgpu))["resident_on"] == pgpu
        able.close()


async def test_snapshots_clones_and_reverted_vms_have_the_gpu(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    await with_gpu(sdk, vm)
    taken = await snapshot(sdk, vm)
    (mine,) = await sdk.call("VM.get_VGPUs", vm)
    (copied,) = await sdk.call("VM.get_VGPUs", taken)
    await sdk.call("VGPU.destroy", mine)
    await sdk.run("VM.revert", taken)
    (again,) = await sdk.call("VM.get_VGPUs", vm)
    records = [await sdk.call("VGPU.get_record", ref) for ref in (copied, again)]
    told = [(each["type"], each["GPU_group"], each["device"], each["other_config"]) for each in records]
    assert told == [(await kind(sdk, "Half"), await group(sdk), "0", {"a": "b"})] * 2
    await sdk.run("VM.destroy", taken)
    assert await sdk.call("VGPU.get_all") == [again]


async def test_it_is_checked_when_it_is_made_and_when_it_goes(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    vgpu = await with_gpu(sdk, vm)
    half = await kind(sdk, "Half")
    again = await sdk.refused("VGPU.create", vm, await group(sdk), "0", {}, half)
    assert again == ["VGPU_TYPE_NOT_COMPATIBLE", half]
    assert (await sdk.refused("GPU_group.destroy", await group(sdk)))[0] == "GPU_GROUP_CONTAINS_PGPU"
    await sdk.call("VGPU.destroy", vgpu)
    whole = await sdk.call("VGPU.create", vm, await group(sdk), "11", {})
    assert (await sdk.call("VGPU.get_record", whole))["type"] == await kind(sdk, "passthrough")
    await sdk.call("VGPU.destroy", whole)
    vgpu = await with_gpu(sdk, vm)
    await sdk.run("VM.start", vm, False, False)
    assert (await sdk.refused("VGPU.destroy", vgpu))[0] == "OPERATION_NOT_ALLOWED"
    (pgpu,) = await sdk.call("PGPU.get_all")
    assert await sdk.refused("PGPU.remove_enabled_VGPU_types", pgpu, half) == ["PGPU_IN_USE_BY_VM", vm]


async def test_it_leaves_the_pool_with_its_vm_and_comes_back(web: Web, sdk: Sdk) -> None:  # noqa: F811
    vm = await only_vm(sdk)
    vgpu = await with_gpu(sdk, vm)
    before = await sdk.call("VGPU.get_record", vgpu)
    response, _ = await web.send("GET", "/export_metadata", {"ref": vm})
    for cls in (b"VGPU", b"VGPU_type", b"GPU_group"):
        assert b"<name>class</name><value>" + cls + b"</value>" in response.content
    again = await made(web, sdk, "/import_metadata", {"restore": "true", "force": "true"}, response.content)
    (ref,) = again["VGPUs"]
    after = await sdk.call("VGPU.get_record", ref)
    kept = ("uuid", "type", "GPU_group", "device", "other_config")
    assert {key: before[key] for key in kept} == {key: after[key] for key in kept}
    twin = await made(web, sdk, "/import_metadata", {}, response.content)
    (ref,) = twin["VGPUs"]
    assert (await sdk.call("VGPU.get_record", ref))["uuid"] != before["uuid"]
    without = await web.send(
        "GET", "/export_metadata", {"ref": again["ref"], "excluded_device_types": "vgpu"}
    )
    assert b"GPU_group</value>" in without[0].content  # this release does not know that question


@pytest.mark.parametrize("missing", ["group", "type"])
async def test_a_pool_without_the_group_refuses_and_one_without_the_type_makes_it_up(
    web: Web,  # noqa: F811
    sdk: Sdk,
    tmp_path: Path,
    missing: str,
) -> None:
    vm = await only_vm(sdk)
    await with_gpu(sdk, vm)
    response, _ = await web.send("GET", "/export_metadata", {"ref": vm})
    there = [] if missing == "group" else [GpuDescription(name="Tesla", device="10de/1eb8")]
    async with running(describe(tmp_path / "b", hosts=hosts(there), vms=[])) as other:
        client = Web(other, await Sdk(other).log_in())
        query = {"force": "true"}
        _, task = await client.send("PUT", "/import_metadata", query, response.content)
        if missing == "group":
            told = "Unable to find GPU group with matching GPU_types = '[10de/1eb8]'"
            assert task["error_info"] == ["INTERNAL_ERROR", f'Failure("{told}")']
        else:
            refused = await client.sdk.refused("VM.start", await only_vm(client.sdk), False, False)
            assert refused[0] == "VGPU_TYPE_NOT_SUPPORTED"
        client.sdk.close()
        await client.client.aclose()


async def test_a_processor_goes_with_its_host(sdk: Sdk) -> None:
    (pgpu,) = (await sdk.call("PGPU.get_all_records")).values()
    await sdk.call("pool.eject", pgpu["host"])
    assert ([], []) == (await sdk.call("PGPU.get_all"), await sdk.call("PCI.get_all"))
    (found,) = (await sdk.call("GPU_group.get_all_records")).values()
    assert ([], []) == (found["PGPUs"], found["supported_VGPU_types"])
    types = await sdk.call("VGPU_type.get_all_records")
    assert not any(each["supported_on_PGPUs"] for each in types.values())


@pytest.mark.parametrize("version", ["8.0", "8.2", "24.19", "26.17"])
async def test_every_release_has_them(tmp_path: Path, version: str) -> None:
    pool = describe(tmp_path / "pool", hosts=hosts([gpu()]), vms=halted(), version=version)
    async with running(pool) as simulation:
        sdk = await Sdk(simulation).log_in()
        vm = await only_vm(sdk)
        record = await sdk.call("VGPU.get_record", await with_gpu(sdk, vm))
        several = version != "8.0"
        assert ("extra_args" in record) == several
        half = await kind(sdk, "Half")
        refused = [
            await sdk.refused("VGPU.create", vm, await group(sdk), device, {}, half) for device in ("0", "1")
        ]
        only_one = [["DEVICE_ALREADY_EXISTS", "0"], ["INVALID_DEVICE", "1"]]
        assert refused == ([["VGPU_TYPE_NOT_COMPATIBLE", half]] * 2 if several else only_one)
        await sdk.run("VM.start", vm, False, False)
        sdk.close()


async def test_a_group_that_is_named_for_a_gpu_has_processors_or_the_vm_stays(sdk: Sdk) -> None:
    vm, full = await only_vm(sdk), await group(sdk)
    vgpu = await with_gpu(sdk, vm)
    await sdk.run("VM.start", vm, False, False)
    empty = await sdk.call("GPU_group.create", "empty", "", {})
    (network, *_) = await sdk.call("network.get_all")
    dest = await sdk.call("host.migrate_receive", await sdk.call("VM.get_resident_on", vm), network, {})
    disk = await disk_of(sdk, vm)
    asked = [vm, dest, True, {disk: await sdk.call("VDI.get_SR", disk)}, {}, {}]
    for wrong, failure in ((empty, ["VM_REQUIRES_GPU", vm]), (NULL, ["HANDLE_INVALID", "GPU_group"])):
        assert await sdk.refused("VM.assert_can_migrate", *asked, {vgpu: wrong}) == [*failure, wrong]
    await sdk.call("VM.assert_can_migrate", *asked, {vgpu: full})


async def test_a_gpu_goes_into_the_group_of_another_pool_that_is_named(tmp_path: Path) -> None:
    told, licensed = {"driver": "1"}, {"restrict_vgpu_migration": "false"}
    here = describe(
        tmp_path / "here",
        hosts=hosts([gpu(compatibility_metadata=told)]),
        vms=halted(),
        restrictions=licensed,
    )
    gpus = [gpu(compatibility_metadata=told), gpu("10de/1111", compatibility_metadata=told)]
    other = HostDescription(name="other-1", address="127.0.0.31", cpus=1, gpus=gpus)
    away = describe(tmp_path / "there", hosts=[other], vms=[], restrictions=licensed)
    async with running(here) as first, running(away) as second:
        sdk, far = await Sdk(first).log_in(), await Sdk(second, host=21).log_in()
        vm = await only_vm(sdk)
        vgpu = await with_gpu(sdk, vm)
        await sdk.run("VM.start", vm, False, False)
        records = await far.call("GPU_group.get_all_records")
        groups = {record["GPU_types"][0]: ref for ref, record in records.items()}
        (network, *_), (host,) = await far.call("network.get_all"), await far.call("host.get_all")
        srs = (await far.call("SR.get_all_records")).items()
        (sr, *_) = [ref for ref, record in srs if record["content_type"] != "iso"]
        dest = await far.call("host.migrate_receive", host, network, {})
        networks = {vif: network for vif in await sdk.call("VM.get_VIFs", vm)}
        asked = [vm, dest, True, {await disk_of(sdk, vm): sr}, networks, {}]
        failure = await sdk.refused("VM.migrate_send", *asked, {vgpu: sr})
        assert failure == ["HANDLE_INVALID", "GPU_group", sr]
        await sdk.run("VM.migrate_send", *asked, {vgpu: groups["10de/1111"]})
        (made,) = (await far.call("VGPU.get_all_records")).values()
        assert (made["GPU_group"], made["other_config"]) == (groups["10de/1111"], {"a": "b"})
        for each in (sdk, far):
            each.close()


async def test_a_host_without_an_iommu_gives_no_vm_a_device(tmp_path: Path) -> None:
    described = [host.model_copy(update={"iommu": False}) for host in hosts([gpu()])]
    async with running(describe(tmp_path / "pool", hosts=described, vms=halted())) as simulation:
        sdk = await Sdk(simulation).log_in()
        vm, (host,) = await only_vm(sdk), await sdk.call("host.get_all")
        assert await sdk.call("host.get_chipset_info", host) == {"iommu": "false"}
        shared = await with_gpu(sdk, vm)
        await sdk.call("VM.assert_can_boot_here", vm, host)
        await sdk.call("VGPU.destroy", shared)
        await with_gpu(sdk, vm, "passthrough")
        refusal = ["VM_REQUIRES_IOMMU", host]
        assert await sdk.refused("VM.assert_can_boot_here", vm, host) == refusal
        assert await sdk.refused("VM.start_on", vm, host, False, False) == refusal
        assert await sdk.refused("VM.start", vm, False, False) == ["NO_HOSTS_AVAILABLE"]
        sdk.close()


async def test_a_device_is_hidden_from_the_control_domain_when_its_host_boots(tmp_path: Path) -> None:
    described = describe(tmp_path / "pool", hosts=hosts([gpu()]), vms=[], version="24.19")
    async with running(described) as simulation:
        host = next(iter(simulation.pool.hosts.values()))

        async def ask(*calls: tuple[str, str]) -> list[str]:
            sdk = await Sdk(simulation).log_in()
            answers = []
            for cls, name in calls:
                (ref,) = await sdk.call(f"{cls}.get_all")
                answers.append(str(await sdk.call(f"{cls}.{name}", ref)))
            sdk.close()
            return answers

        states = ("PCI", "get_dom0_access_status"), ("PGPU", "get_dom0_access")
        assert await ask(*states) == ["enabled", "enabled"]
        disable = [(cls, "disable_dom0_access") for cls in ("PCI", "PGPU")]
        assert await ask(*disable) == ["disable_on_reboot", "disable_on_reboot"]
        assert await ask(("PGPU", "enable_dom0_access")) == ["enabled"]
        assert await ask(disable[0], *states) == ["disable_on_reboot"] * 3
        await simulation.pool.failures.reboot(host)
        assert await ask(*states) == ["disabled", "disabled"]
        assert await ask(("PCI", "enable_dom0_access")) == ["enable_on_reboot"]
        await simulation.pool.failures.reboot(host)
        assert await ask(*states) == ["enabled", "enabled"]
