"""Runs."""

import uuid
from collections.abc import Iterator, Sequence

from xenkeep.calls import Caller
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import restore_target_pb2
from xenkeep.paging import pages
from xenkeep.scheduler.v1 import run_pb2, run_pb2_grpc


class Runs:
    """``client.runs``. Starting returns at once; ``watch`` follows."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = run_pb2_grpc.RunServiceStub(caller.channel)

    def start_policy(self, policy: str, *, full: bool = False) -> run_pb2.Run:
        """Execute a policy now."""
        return self._create(run_pb2.RunSpec(policy=run_pb2.PolicyRun(policy=policy, full=full)))

    def backup(
        self,
        vms: Sequence[str],
        repository: str,
        *,
        method: capture_pb2.Method.ValueType = capture_pb2.METHOD_NORMAL,
        full: bool = False,
        options: capture_pb2.CaptureOptions | None = None,
        group: bool = False,
        pools: Sequence[str] = (),
        hosts: bool = False,
    ) -> run_pb2.Run:
        """Back VMs up without a policy, as a ``group`` all at one moment, and the metadata of ``pools``,
        ``hosts`` with the files of their hosts.
        """
        backup = run_pb2.BackupRun(
            vms=vms,
            repository=repository,
            method=method,
            full=full,
            options=options,
            group=group,
            pools=pools,
            hosts=hosts,
        )
        return self._create(run_pb2.RunSpec(backup=backup))

    def restore(self, restore_point: str, placement: restore_target_pb2.Placement) -> run_pb2.Run:
        """Put a VM back."""
        restore = run_pb2.RestoreRun(restore_point=restore_point, placement=placement)
        return self._create(run_pb2.RunSpec(restore=restore))

    def get(self, name: str) -> run_pb2.Run:
        """One run with its tasks, by resource name, UUID or the beginning of its UUID."""
        return self._caller.unary(self._stub.GetRun, run_pb2.GetRunRequest(name=name))

    def list(self) -> Iterator[run_pb2.Run]:
        """All runs, newest first, without their tasks."""
        return pages(
            lambda token: self._caller.unary(self._stub.ListRuns, run_pb2.ListRunsRequest(page_token=token)),
            lambda page: page.runs,
        )

    def watch(self, name: str) -> Iterator[run_pb2.Run]:
        """The run whenever it changes, until it ended."""
        return self._caller.stream(self._stub.WatchRun, run_pb2.WatchRunRequest(name=name))

    def wait(self, name: str) -> run_pb2.Run:
        """The run when it ended."""
        run = self.get(name)
        for run in self.watch(name):  # noqa: B007 - the last one is wanted
            pass
        return run

    def cancel(self, name: str) -> run_pb2.Run:
        """Ask a run to stop."""
        return self._caller.unary(self._stub.CancelRun, run_pb2.CancelRunRequest(name=name))

    def _create(self, spec: run_pb2.RunSpec) -> run_pb2.Run:
        request = run_pb2.CreateRunRequest(spec=spec, request_id=str(uuid.uuid4()))
        return self._caller.unary(self._stub.CreateRun, request)
