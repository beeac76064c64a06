"""What a backup of pools and hosts takes: the database, the files of a control domain, a screen."""

import io
import struct
import tarfile
from pathlib import Path

import pytest

from services.simulator.pool.description import DiskDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.integration.simulator.test_transfers import Web, web  # noqa: F401 - a fixture
from tests.integration.simulator.test_vm_life import disk_of, only_vm

DUMP = "/pool/xmldbdump"


async def test_the_database_comes_back_as_it_was_dumped(web: Web, sdk: Sdk, simulation: Simulation) -> None:  # noqa: F811
    vm = await only_vm(sdk)
    before = await sdk.call("VM.get_record", vm)
    disk = await sdk.call("VDI.get_record", await disk_of(sdk, vm))
    dump, _ = await web.send("GET", DUMP, {})
    await sdk.run("VM.hard_shutdown", vm)
    await sdk.run("VM.destroy", vm)
    _, task = await web.send("PUT", DUMP, {"dry_run": "true"}, dump.content)
    assert task["status"] == "success", task["error_info"]
    assert await sdk.call("VM.get_by_name_label", "web") == []
    _, task = await web.send("PUT", DUMP, {}, dump.content)
    assert task["status"] == "success", task["error_info"]
    await simulation.pool.settled()
    sdk.close()
    assert simulation.pool.db.find("session", str(sdk.session.handle)) is None
    await sdk.log_in()
    after = await sdk.call("VM.get_record", vm)
    same = ("uuid", "name_label", "VBDs", "VIFs", "other_config", "memory_static_max")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert (after["power_state"], after["resident_on"]) == ("Halted", "OpaqueRef:NULL")
    assert (await sdk.call("VDI.get_record", await disk_of(sdk, vm)))["uuid"] == disk["uuid"]
    await sdk.run("VM.start", vm, False, False)
    assert await sdk.call("VM.get_power_state", vm) == "Running"


async def test_of_the_hosts_only_the_coordinator_is_restored(tmp_path: Path) -> None:
    vm = VmDescription(name="web", host="host-2", disks=[DiskDescription(size_bytes=8 * MIB)])
    async with running(describe(tmp_path / "pool", hosts=2, vms=[vm])) as simulation:
        sdk = await Sdk(simulation).log_in()
        web = Web(simulation, sdk)
        dump, _ = await web.send("GET", DUMP, {})
        await web.send("PUT", DUMP, {}, dump.content)
        await simulation.pool.settled()
        sdk.close()
        await sdk.log_in()
        (host,) = await sdk.call("host.get_all")
        assert await sdk.call("host.get_name_label", host) == "host-1"
        assert [await sdk.call("PBD.get_host", pbd) for pbd in await sdk.call("PBD.get_all")] == [host, host]
        (ref,) = await sdk.call("VM.get_by_name_label", "web")
        assert await sdk.call("VM.get_power_state", ref) == "Halted"
        other = Sdk(simulation, host=2)
        assert (await other.login_refused())[0] == "HOST_UNKNOWN_TO_MASTER"
        other.close()
        await web.client.aclose()
        sdk.close()


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        (lambda dump: b"", ["INTERNAL_ERROR", 'Xmlm.Error(1:1, "unexpected end of input")']),
        (lambda dump: b"<x/>", ["INTERNAL_ERROR", 'Db_xml.Unmarshall_error("Unexpected tag: x")']),
        (lambda dump: dump[:-20], ["INTERNAL_ERROR"]),
        (lambda dump: dump.replace(b'value="759"', b'value="12"'), ["RESTORE_INCOMPATIBLE_VERSION"]),
        (
            lambda dump: dump.replace(b'device="eth0"', b'device="eth9"'),
            ["RESTORE_TARGET_MISSING_DEVICE", "eth9"],
        ),
        (
            lambda dump: dump.replace(b'physical="true"', b'physical="false"'),
            ["RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP"],
        ),
    ],
)
async def test_a_dump_that_does_not_fit_is_refused_and_changes_nothing(
    web: Web,  # noqa: F811
    sdk: Sdk,
    change: object,
    failure: list[str],
) -> None:
    dump, _ = await web.send("GET", DUMP, {})
    assert callable(change)
    _, task = await web.send("PUT", DUMP, {}, change(dump.content))
    assert task["status"] == "failure"
    assert task["error_info"][: len(failure)] == failure
    assert await only_vm(sdk)


async def test_a_dump_of_another_release_is_refused(tmp_path: Path) -> None:
    """xapi: ocaml/xapi/pool_db_backup.ml ``version_check``."""
    dumps = {}
    versions = {"8.0": "5.400", "8.2": "5.602", "23.1.0": "5.759", "24.19.0": "", "26.17.0": ""}
    for version, known in versions.items():
        async with running(describe(tmp_path / version, version=version, vms=[])) as simulation:
            sdk = await Sdk(simulation).log_in()
            web = Web(simulation, sdk)
            dump, _ = await web.send("GET", DUMP, {})
            dumps[version] = dump.content
            schema = (await sdk.call("host.get_software_version", simulation.pool.coordinator.ref))[
                "db_schema"
            ]
            assert known in ("", schema)
            for other, content in dumps.items():
                _, task = await web.send("PUT", DUMP, {"dry_run": "true"}, content)
                wrong = [] if other == version else ["RESTORE_INCOMPATIBLE_VERSION"]
                assert task["error_info"] == wrong, f"{other} on {version}"
            await web.client.aclose()
            sdk.close()


async def test_a_host_backup_is_a_tar_that_the_same_host_takes_back(
    web: Web,  # noqa: F811
    sdk: Sdk,
    simulation: Simulation,
) -> None:
    (host,) = await sdk.call("host.get_all")
    backup, _ = await web.send("GET", "/host_backup", {})
    with tarfile.open(fileobj=io.BytesIO(backup.content)) as archive:
        file = archive.extractfile("etc/xensource-inventory")
        assert file is not None
        assert f"INSTALLATION_UUID='{await sdk.call('host.get_uuid', host)}'" in file.read().decode()
    for body, outcome in ((backup.content, []), (b"no tar", ["RESTORE_SCRIPT_FAILED"])):
        fresh = Web(simulation, sdk)  # the handlers promise to keep a connection that they close
        _, task = await fresh.send("PUT", "/host_restore", {}, body)
        assert task["error_info"][:1] == outcome
        await fresh.client.aclose()


async def test_a_running_vm_shows_a_screen(web: Web, sdk: Sdk) -> None:  # noqa: F811
    vm = await only_vm(sdk)
    image, _ = await web.send("GET", "/vncsnapshot", {"ref": vm})
    assert image.headers["content-type"] == "image/jpeg"
    content = image.content
    assert (content[:2], content[-2:]) == (b"\xff\xd8", b"\xff\xd9")
    frame = content.index(b"\xff\xc0")
    assert struct.unpack(">HBHHB", content[frame + 2 : frame + 10]) == (11, 8, 400, 720, 1)
    await sdk.run("VM.hard_shutdown", vm)
    response, task = await web.send("GET", "/vncsnapshot", {"ref": vm})
    assert (response.status_code, task["error_info"]) == (500, ["INTERNAL_ERROR", "Console.Failure"])
