"""RunService."""

from collections.abc import AsyncIterator
from typing import Any

from xenkeep.scheduler.v1 import run_pb2, run_pb2_grpc

from services.chassis.paging import moment_of, page_size, parts_of, token_of
from services.scheduler.app.runs import RunBook
from services.scheduler.app.starting import Starting
from services.scheduler.wire.names import id_in, request_id_from
from services.scheduler.wire.run import run_to_proto, spec_from_proto


class RunApi(run_pb2_grpc.RunServiceServicer):
    """Unpacks, calls once, packs."""

    def __init__(self, starting: Starting, runs: RunBook) -> None:
        self._starting, self._runs = starting, runs

    async def CreateRun(self, request: run_pb2.CreateRunRequest, context: Any) -> run_pb2.Run:
        request_id = request_id_from(request.request_id)
        return run_to_proto(await self._starting.create(spec_from_proto(request.spec), request_id))

    async def GetRun(self, request: run_pb2.GetRunRequest, context: Any) -> run_pb2.Run:
        return run_to_proto(await self._runs.get(id_in(request.name, "runs")))

    async def ListRuns(self, request: run_pb2.ListRunsRequest, context: Any) -> run_pb2.ListRunsResponse:
        size = page_size(request.page_size, 100)
        before = None
        if request.page_token:
            moment, run_id = parts_of(request.page_token, 2)
            before = (moment_of(moment), run_id)
        page = await self._runs.page(before, size + 1)
        last = page[size - 1] if len(page) > size else None
        more = token_of(last.create_time.isoformat(), last.run_id) if last else ""
        return run_pb2.ListRunsResponse(runs=[run_to_proto(run) for run in page[:size]], next_page_token=more)

    async def CancelRun(self, request: run_pb2.CancelRunRequest, context: Any) -> run_pb2.Run:
        return run_to_proto(await self._runs.cancel(id_in(request.name, "runs")))

    async def WatchRun(self, request: run_pb2.WatchRunRequest, context: Any) -> AsyncIterator[run_pb2.Run]:
        async for run in self._runs.watch(id_in(request.name, "runs")):
            yield run_to_proto(run)
