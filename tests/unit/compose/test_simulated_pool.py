"""The demo's pool is one that the simulator accepts."""

from pathlib import Path

from xenkeep.demo.guests import GuestDisk

from deploy.simulated_pool import HOSTS, describe
from services.simulator.pool.description import PoolDescription


def test_the_simulator_accepts_the_pool_of_the_demo(tmp_path: Path) -> None:
    addresses = {host: f"10.0.{number}.2" for number, host in enumerate(HOSTS)}
    described = describe(tmp_path, addresses, GuestDisk(tmp_path / "web.img", 1 << 28))
    pool = PoolDescription.model_validate(described)
    assert addresses == {host.name: host.address for host in pool.hosts}
    assert ["web"] == [vm.name for vm in pool.vms]
