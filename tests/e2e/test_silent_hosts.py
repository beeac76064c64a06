"""What befalls hosts while a backup or a restore runs: silence, certificates, sessions, a new coordinator.

The hypervisor service is killed in the middle as well: what it leaves is swept by the next one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc
import pytest
from xenkeep.hypervisor.v1 import restore_target_pb2
from xenkeep.scheduler.v1 import run_pb2
from xenkeep.simulator.v1 import simulator_pb2 as sim
from xenkeep.simulator.v1 import simulator_pb2_grpc

from tests.support.scenarios import THOROUGH
from tests.support.silence import needs_silence
from tests.support.stack import MIB, REPOSITORY, Stack

pytestmark = [pytest.mark.scenario(40), needs_silence]

KILLED = pytest.mark.parametrize("killed", [False, True] if THOROUGH else [True])
"""Whether the hypervisor service is killed at that moment, too."""


@dataclass
class Site:
    """The stack, and what may befall its pool."""

    stack: Stack
    simulator: "simulator_pb2_grpc.SimulatorServiceStub"
    available: bool = False

    def set_high_availability(self, enabled: bool) -> None:
        self.simulator.SetHighAvailability(sim.SetHighAvailabilityRequest(enabled=enabled))
        self.available = enabled

    def silence(self, host: str) -> None:
        """Its pool hears it, and we do not."""
        self.simulator.SilenceHost(sim.SilenceHostRequest(host=host))

    def backup_befallen(self, vm: str, befalls: Callable[[], None], *, killed: bool) -> run_pb2.Run:
        """A full backup of which something was read before ``befalls``, and the rest afterwards."""
        before = self.stack.hashes(vm)
        self.stack.control.limit(MIB)
        run = self.stack.client.runs.backup([vm], REPOSITORY, full=True)
        self.stack.watch(run.name, lambda now: any(task.progress.read_bytes for task in now.tasks))
        befalls()
        if killed:
            self.stack.kill("hypervisor")
        self.stack.control.limit(0)
        done = self.stack.watch(run.name)
        assert run_pb2.Run.STATE_SUCCEEDED == done.state, done.tasks
        assert 1 == done.tasks[0].attempt, done
        self.stack.wait_until_serving()
        assert before == self.restored(done)
        return done

    def writer(self) -> str:
        """A host that writes a disk, as soon as there is one."""
        while True:
            domains = {
                host["control_domain"]: str(host["name_label"])
                for host in self.stack.records("host").values()
            }
            for vbd in self.stack.records("VBD").values():
                if vbd["mode"] == "RW" and vbd["VM"] in domains:
                    return domains[vbd["VM"]]
            self.stack.wait_for_pool_event(5.0)

    def restored(self, done: run_pb2.Run) -> list[str]:
        """Hashes of the disks of a new VM made of what was backed up."""
        point = done.tasks[0].result.point.point_id
        task = self.stack.data("restore", point, "--name", f"of {point[:8]}", "--wait")["tasks"][0]
        return self.stack.hashes(task["result"]["vm"])


@pytest.fixture
def site(stack: Stack) -> Iterator[Site]:
    """In the end all hosts have power and are heard, host0 leads, and HA is off."""
    with grpc.insecure_channel(f"unix:{stack.pool.socket}") as channel:
        simulator = simulator_pb2_grpc.SimulatorServiceStub(channel)
        yield (site := Site(stack, simulator))
        stack.control.limit(0)
        for host in simulator.GetState(sim.GetStateRequest()).hosts:
            if not host.alive:
                simulator.ReviveHost(sim.ReviveHostRequest(host=host.host_id))
            elif host.silent:
                simulator.HearHost(sim.HearHostRequest(host=host.host_id))
        if site.available:
            site.set_high_availability(False)
        simulator.DesignateCoordinator(sim.DesignateCoordinatorRequest(host="host0"))
        stack.pools_when(lambda pool: pool["state"] == "STATE_ONLINE")
        stack.wait_until_nothing_is_left()


def _codes(done: run_pb2.Run) -> set[str]:
    return {notice.code for notice in done.tasks[0].result.notices}


@KILLED
def test_a_backup_and_a_restore_go_on_through_other_hosts_when_one_falls_silent(
    site: Site, killed: bool
) -> None:
    done = site.backup_befallen("db", lambda: site.silence("host1"), killed=killed)
    assert "NBD_HOST_SILENT" in _codes(done)


@KILLED
def test_a_backup_goes_on_over_lost_sessions_a_new_certificate_and_a_toolstack_that_restarts(
    site: Site, killed: bool
) -> None:
    def befalls() -> None:
        site.simulator.ReplaceCertificate(sim.ReplaceCertificateRequest(host="host1"))
        site.simulator.ExpireSessions(sim.ExpireSessionsRequest())
        site.simulator.RestartToolstack(sim.RestartToolstackRequest(host="host0"))
        nbd = sim.CutConnectionsRequest.KIND_NBD
        cut = [
            site.simulator.CutConnections(sim.CutConnectionsRequest(host=host, kind=nbd)).count
            for host in ("host0", "host1", "host2")
        ]
        assert sum(cut)

    done = site.backup_befallen("db", befalls, killed=killed)
    assert {"NBD_CONNECTION_LOST", "NBD_ENDPOINTS_ASKED"} <= _codes(done)


@KILLED
def test_a_backup_goes_on_when_the_coordinators_power_is_cut_and_another_host_leads(
    site: Site, killed: bool
) -> None:
    site.set_high_availability(True)

    def befalls() -> None:
        site.simulator.KillHost(sim.KillHostRequest(host="host0", silently=True))

    site.backup_befallen("db", befalls, killed=killed)
    assert "host0" != site.stack.control.coordinator().display_name


@KILLED
def test_a_restore_goes_on_through_other_hosts_when_the_one_that_writes_loses_its_power(
    site: Site, killed: bool
) -> None:
    site.set_high_availability(True)
    before = site.stack.hashes("db")
    point = site.stack.backup("db")["result"]["point"]["point_id"]
    site.stack.control.limit(MIB)
    placement = restore_target_pb2.Placement(pool="Lab", vm_display_name="through others")
    run = site.stack.client.runs.restore(f"restorePoints/{point}", placement)
    writer = site.writer()
    site.simulator.KillHost(sim.KillHostRequest(host=writer, silently=True))
    if killed:
        site.stack.kill("hypervisor")
    site.stack.control.limit(0)
    done = site.stack.watch(run.name)

    assert run_pb2.Run.STATE_SUCCEEDED == done.state, done.tasks
    assert "RESTORE_WRITTEN_AGAIN" in _codes(done)
    assert before == site.stack.hashes(done.tasks[0].result.vm)


def test_a_backup_ends_well_although_its_coordinator_gets_another_certificate_in_the_middle(
    site: Site,
) -> None:
    """Whatever could not be removed before a person agreed to the certificate is removed then."""
    before = site.stack.hashes("db")
    site.stack.control.limit(MIB)
    run = site.stack.client.runs.backup(["db"], REPOSITORY, full=True)
    site.stack.watch(run.name, lambda now: any(task.progress.read_bytes for task in now.tasks))
    site.simulator.ReplaceCertificate(sim.ReplaceCertificateRequest(host="host0"))
    site.stack.pools_when(lambda pool: pool["state"] == "STATE_CERTIFICATE_CHANGED")
    site.stack.control.limit(0)
    done = site.stack.watch(run.name)

    assert run_pb2.Run.STATE_SUCCEEDED == done.state, done.tasks
    site.stack.add_pool()
    site.stack.wait_until_nothing_is_left()
    assert before == site.restored(done)
