"""Virtual TPMs: their contents leave a pool, and come back, with exported VMs only."""

import re

from tests.integration.simulator.pools import Sdk
from tests.integration.simulator.test_memory_images import made
from tests.integration.simulator.test_transfers import Web, web  # noqa: F401 - a fixture
from tests.integration.simulator.test_vm_life import only_vm


async def with_tpm(sdk: Sdk, *, is_unique: bool = False) -> str:
    """The VM, which ran with a TPM and is halted now."""
    vm = await only_vm(sdk)
    await sdk.run("VM.hard_shutdown", vm)
    await sdk.call("VTPM.create", vm, is_unique)
    await sdk.run("VM.start", vm, False, False)
    await sdk.run("VM.hard_shutdown", vm)
    return vm


def contents(metadata: bytes) -> list[bytes]:
    """Of every TPM in an archive."""
    return re.findall(rb"<name>vTPM'_content</name><value>([^<]*)</value>", metadata)


async def exported(web: Web, vm: str, **query: str) -> bytes:  # noqa: F811
    response, _ = await web.send("GET", "/export_metadata", {"ref": vm, **query})
    return bytes(response.content)


async def test_a_tpm_comes_back_with_its_contents_and_its_uuid(web: Web, sdk: Sdk) -> None:  # noqa: F811
    vm = await with_tpm(sdk)
    (tpm,) = await sdk.call("VM.get_VTPMs", vm)
    uuid = await sdk.call("VTPM.get_uuid", tpm)
    before = await exported(web, vm)
    assert len(contents(before)[0]) > 1000
    await sdk.run("VM.destroy", vm)
    again = await made(web, sdk, "/import_metadata", {"restore": "true"}, before)
    assert [await sdk.call("VTPM.get_uuid", ref) for ref in again["VTPMs"]] == [uuid]
    assert contents(await exported(web, again["ref"])) == contents(before)


async def test_a_copy_of_a_vm_has_the_contents_under_another_uuid(web: Web, sdk: Sdk) -> None:  # noqa: F811
    vm = await with_tpm(sdk)
    archive, _ = await web.send("GET", "/export", {"ref": vm})
    twin = await made(web, sdk, "/import", {}, archive.content)
    uuids = {await sdk.call("VTPM.get_uuid", ref) for ref in twin["VTPMs"]}
    (tpm,) = await sdk.call("VM.get_VTPMs", vm)
    assert len(uuids) == 1
    assert await sdk.call("VTPM.get_uuid", tpm) not in uuids
    assert contents(await exported(web, twin["ref"])) == contents(archive.content)


async def test_snapshots_have_a_unique_tpm_and_clones_have_not(sdk: Sdk) -> None:
    vm = await with_tpm(sdk, is_unique=True)
    taken = (await sdk.run("VM.snapshot", vm, "snap"))[7:-8]
    clone = (await sdk.run("VM.clone", vm, "clone"))[7:-8]
    assert len(await sdk.call("VM.get_VTPMs", taken)) == 1
    assert await sdk.call("VM.get_VTPMs", clone) == []
    await sdk.run("VM.revert", taken)
    assert len(await sdk.call("VM.get_VTPMs", vm)) == 1


async def test_contents_are_not_for_remote_callers(sdk: Sdk) -> None:
    (tpm,) = await sdk.call("VM.get_VTPMs", await with_tpm(sdk))
    assert await sdk.refused("VTPM.get_contents", tpm) == ["PERMISSION_DENIED", ""]


async def test_a_vm_has_one_tpm_which_is_added_and_taken_while_it_is_halted(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    assert (await sdk.refused("VTPM.create", vm, False))[0] == "VM_BAD_POWER_STATE"
    await with_tpm(sdk)
    assert await sdk.refused("VTPM.create", vm, False) == ["VTPM_MAX_AMOUNT_REACHED", "1"]
    (tpm,) = await sdk.call("VM.get_VTPMs", vm)
    await sdk.call("VTPM.destroy", tpm)
    assert await sdk.call("VM.get_VTPMs", vm) == []
