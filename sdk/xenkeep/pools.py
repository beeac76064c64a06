"""Pools."""

from collections.abc import Iterator
from pathlib import Path

from xenkeep.calls import Caller
from xenkeep.hypervisor.v1 import pool_metadata_pb2, pool_metadata_pb2_grpc, pool_pb2, pool_pb2_grpc
from xenkeep.paging import pages

CHECK_SECONDS = 600.0
_PIECE_BYTES = 1 << 20


class Pools:
    """``client.pools``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = pool_pb2_grpc.PoolServiceStub(caller.channel)
        self._metadata = pool_metadata_pb2_grpc.PoolMetadataServiceStub(caller.channel)

    def probe(self, address: str) -> pool_pb2.Certificate:
        """The certificate a host presents now; compare it before adding the pool."""
        request = pool_pb2.ProbePoolRequest(address=address)
        return self._caller.unary(self._stub.ProbePool, request).certificate

    def add(self, address: str, username: str, password: str, certificate_sha256: str) -> pool_pb2.Pool:
        """Add a pool by any of its members, pinned to the certificate a person agreed to."""
        request = pool_pb2.CreatePoolRequest(
            address=address, username=username, password=password, certificate_sha256=certificate_sha256
        )
        return self._caller.unary(self._stub.CreatePool, request)

    def get(self, name: str) -> pool_pb2.Pool:
        """One pool by resource name, UUID or its own name."""
        return self._caller.unary(self._stub.GetPool, pool_pb2.GetPoolRequest(name=name))

    def check_database(self, name: str, dump: Path) -> pool_metadata_pb2.CheckPoolDatabaseResponse:
        """Ask the pool whether it would take a database dump back; nothing is restored."""
        return self._caller.unary(self._metadata.CheckPoolDatabase, _dump(name, dump), CHECK_SECONDS)

    def list(self) -> Iterator[pool_pb2.Pool]:
        """All pools, by name."""
        return pages(
            lambda token: self._caller.unary(
                self._stub.ListPools, pool_pb2.ListPoolsRequest(page_token=token)
            ),
            lambda page: page.pools,
        )

    def remove(self, name: str) -> None:
        """Forget a pool and its credentials; restore points stay."""
        self._caller.unary(self._stub.DeletePool, pool_pb2.DeletePoolRequest(name=name))


def _dump(pool: str, path: Path) -> Iterator[pool_metadata_pb2.CheckPoolDatabaseRequest]:
    with path.open("rb") as file:
        yield pool_metadata_pb2.CheckPoolDatabaseRequest(pool=pool, size_bytes=path.stat().st_size)
        while piece := file.read(_PIECE_BYTES):
            yield pool_metadata_pb2.CheckPoolDatabaseRequest(data=piece)
