"""Metadata that a real toolstack exported, and ours beside it."""

import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

from services.simulator.pool.simulation import Simulation
from services.simulator.wire import xmlrpc
from tests.integration.simulator.conftest import sdk, simulation
from tests.integration.simulator.pools import MIB, Sdk
from tests.integration.simulator.test_transfers import Web, exported, new_disk, web
from tests.integration.simulator.test_vm_life import only_vm

__all__ = ["sdk", "simulation", "web"]
GOLDEN = Path(__file__).parent / "golden" / "metadata"
VM = "599e9c30-04eb-aa73-e434-23ad9d1a9338"
DISKS = {"a2f9874d-00a0-4ff8-b6c4-a537842162d5": 4 * MIB, "04775f16-bd54-4c2a-b578-77a09a5d60f3": 2 * MIB}


def objects(archive: bytes) -> list[dict[str, Any]]:
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        member = tar.extractfile("ova.xml")
        assert member is not None
        return list(xmlrpc.decode_value(member.read())["objects"])


async def test_a_real_export_is_restored_on_mapped_disks(web: Web, sdk: Sdk) -> None:
    archive = (GOLDEN / "export_metadata.tar").read_bytes()
    params = {"restore": "true", "force": "true"}
    for uuid, size in DISKS.items():
        params[f"vdi:{uuid}"] = await sdk.call("VDI.get_uuid", await new_disk(sdk, size))
    _, task = await web.send("PUT", "/import_metadata", params, archive)
    assert task["status"] == "success", task["error_info"]
    vm = await sdk.call("VM.get_by_uuid", VM)
    record = await sdk.call("VM.get_record", vm)
    assert (record["name_label"], record["version"], len(record["VBDs"]), len(record["VIFs"])) == (
        "meta",
        "1",
        2,
        2,
    )
    macs = {await sdk.call("VIF.get_MAC", vif) for vif in record["VIFs"]}
    assert macs == {"02:00:00:00:bb:01", "9a:d7:cc:c8:9c:cf"}
    (kept,) = record["snapshots"]
    assert await sdk.call("VM.get_uuid", kept) == "44ddeab8-5cda-a12b-13b9-225df3e2704e"
    await sdk.run("VM.start", vm, False, False)


async def test_our_export_has_the_objects_and_fields_of_a_real_one(
    simulation: Simulation, web: Web, sdk: Sdk
) -> None:
    vm = await only_vm(sdk)
    await sdk.run("VM.snapshot", vm, "kept")
    ours = objects(await exported(web, vm))
    real = objects((GOLDEN / "export_metadata.tar").read_bytes())
    for cls in ("VM", "VBD", "VIF", "network", "VDI", "SR"):
        fields = [
            sorted(next(item for item in found if item["class"] == cls)["snapshot"]) for found in (real, ours)
        ]
        assert fields[0] == fields[1], cls
    (live,) = [item for item in ours if item["class"] == "VM" and not item["snapshot"]["is_a_snapshot"]]
    assert live["snapshot"]["snapshot_of"].startswith("Ref:")  # null, as xapi writes it next to snapshots
    assert live["snapshot"]["snapshot_of"] not in {item["id"] for item in ours}
