"""Every command of the program, to a pool that runs."""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from services.simulator.control import cli
from services.simulator.control.server import ControlServer
from services.simulator.pool.description import DiskDescription, StorageDescription, VmDescription
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.support.silence import can_fall_silent


class Told:
    """What the commands print; ``names`` are those that were given."""

    def __init__(self, socket: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.names: set[str] = set()
        self._socket = socket
        self._capsys = capsys

    async def __call__(self, name: str, *arguments: str, code: int = 0) -> Any:
        parser = argparse.ArgumentParser()
        cli.add_commands(parser.add_subparsers())
        given = parser.parse_args([name, "--control", str(self._socket), *arguments])
        self.names.add(name)
        ended = await asyncio.to_thread(given.action, given)
        said = self._capsys.readouterr()
        assert ended == code, said.err
        return said.err if code else json.loads(said.out)

    async def leaders(self) -> list[str]:
        """Names of the hosts that lead."""
        return [host["displayName"] for host in (await self("state"))["hosts"] if host["coordinator"]]


async def test_every_command_reaches_the_pool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disks = [DiskDescription(size_bytes=4 * MIB, storage="one")]
    vms = [VmDescription(name="web", host="host-2", disks=disks)]
    storage = [StorageDescription(name="one"), StorageDescription(name="two")]
    socket = tmp_path / "control.sock"
    tell = Told(socket, capsys)
    description = describe(tmp_path / "pool", hosts=2, vms=vms, storage=storage)
    async with running(description) as simulation, ControlServer(simulation.pool, socket):
        sdk = await Sdk(simulation).log_in()
        (ref,) = await sdk.call("VDI.get_by_name_label", "web disk 0")
        disk = await sdk.call("VDI.get_uuid", ref)
        (vm,) = await sdk.call("VM.get_by_name_label", "web")

        empty = (await tell("hash-disk", disk))["sha256"]
        ran = await tell("run-workload", disk, "7", "3", "--write_bytes", "512")
        assert ran["writes"] == 3
        assert (await tell("hash-disk", disk))["sha256"] != empty
        assert (await tell("copy-disk", disk, str(tmp_path / "copy")))["sizeBytes"] == str(4 * MIB)
        assert (await tell("attach-guest", disk, str(tmp_path / "guest")))["uri"].startswith("nbd+unix:")
        await tell("detach-guest", disk)
        await tell("stall-coalescing", "one", "--stalled")
        await tell("hold-migrations", "--held")
        await tell("hold-migrations")
        await tell("limit-link", "host-1", "1000000000")
        await sdk.call("VDI.enable_cbt", ref)
        await tell("lose-cbt", disk)
        await sdk.call("VDI.enable_cbt", ref)
        await tell("lose-cbt", disk, "--moment", "snapshot")
        assert not await sdk.call("VDI.get_cbt_enabled", await sdk.call("VDI.snapshot", ref))
        await sdk.call("VDI.disable_cbt", ref)
        await tell("fail-snapshot", "web", "0")
        await sdk.refused("VM.snapshot", vm, "half")
        await tell("set-shutdown", "web", "0", "--refused")
        assert (await sdk.refused("VM.clean_shutdown", vm))[0] == "VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT"
        await tell("set-suspend", "web", "--reason", "no tools")
        await sdk.refused("VM.suspend", vm)
        await tell("set-suspend", "web")
        await tell("restrict", "restrict_cbt", "--restricted")
        await sdk.refused("VDI.enable_cbt", ref)
        await tell("forget-deletions", "VM")
        await tell("resize-storage", "one", "1")
        await sdk.refused("VM.snapshot", vm, "full")
        await tell("resize-storage", "one", str(1 << 40))
        assert (await tell("migrate-disk", disk, "two"))["diskId"] != disk
        arguments = (await tell("attach-machine", "web", str(tmp_path / "machine")))["qemuArguments"]
        assert {"-drive", "-mon", "-chardev"} < set(arguments)
        assert "host-2" in await tell("kill-host", "host-9", code=1)
        await tell("cut", "host-2", "--after_bytes", "0")
        await tell("replace-certificate", "host-2")
        before = sdk.session.handle
        await tell("expire-sessions")
        await sdk.call("VM.get_all")
        assert sdk.session.handle != before, "the SDK logs in again when its session is gone"
        (first,) = await sdk.call("host.get_by_name_label", "host-1")
        await tell("migrate", "web", "host-1")
        assert await sdk.call("VM.get_resident_on", vm) == first
        await tell("migrate", "web", "host-2")
        (pool,) = await sdk.call("pool.get_all")
        await tell("set-ha", "--enabled")
        assert await sdk.call("pool.get_ha_enabled", pool) is True
        await tell("set-ha")
        assert "HA_NOT_ENABLED" in await tell("set-ha", code=1)
        await tell("restart-toolstack", "host-1")
        await tell("designate", "host-2")
        if can_fall_silent():
            await tell("silence-host", "host-1", "--to_its_pool")
            assert [True, False] == [host["silent"] for host in (await tell("state"))["hosts"]]
            await tell("hear-host", "host-1")
        silently = ["--silently"] if can_fall_silent() else []
        await tell("kill-host", "host-1", *silently)
        assert "HOST_OFFLINE" in await tell("hear-host", "host-1", code=1)
        alive = {host["displayName"]: host["alive"] for host in (await tell("state"))["hosts"]}
        assert alive == {"host-1": False, "host-2": True}
        await tell("revive-host", "host-1")
        assert "has its coordinator" in await tell("seize", "host-1", code=1)
        await tell("kill-host", "host-2")
        await tell("seize", "host-1")
        assert (await tell("recover-supporters"))["hostIds"] == []
        assert await tell.leaders() == ["host-1"]
        await tell("revive-host", "host-2")
        await tell("split", "host-2")
        assert await tell.leaders() == ["host-1", "host-2"]
        assert "no split yet" in await tell("split", "host-1", "--stay", "host-2", code=1)
        assert len((await tell("recover-supporters"))["hostIds"]) == 1
        assert await tell.leaders() == ["host-2"]
        sdk.close()
    untried = set() if can_fall_silent() else {"silence-host"}
    assert tell.names == {command.name for command in cli.COMMANDS} - untried


async def test_supporters_that_lost_their_coordinator_are_led_again_by_one_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    socket = tmp_path / "control.sock"
    tell = Told(socket, capsys)
    description = describe(tmp_path / "pool", hosts=3, vms=[])
    async with running(description) as simulation, ControlServer(simulation.pool, socket):
        await tell("kill-host", "host-1")
        await tell("seize", "host-2")
        lost = Sdk(simulation, host=3)
        assert (await lost.login_refused())[0] == "HOST_STILL_BOOTING"
        found = (await tell("recover-supporters"))["hostIds"]
        assert found == [simulation.pool.host_named("host-3").uuid]
        assert await lost.login_refused() == ["HOST_IS_SLAVE", "127.0.0.12"]
        lost.close()
