"""Repositories."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from xenkeep.calls import Caller
from xenkeep.common.v1 import point_pb2
from xenkeep.mover.v1 import repository_pb2, repository_pb2_grpc, transfer_pb2
from xenkeep.paging import pages

SLOW_SECONDS = 300.0
"""Opening a repository stretches its passphrase and reads what it holds."""


class Repositories:
    """``client.repositories``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = repository_pb2_grpc.RepositoryServiceStub(caller.channel)

    def create(
        self, display_name: str, url: str, passphrase: str, chunk_bytes: int = 0
    ) -> repository_pb2.CreateRepositoryResponse:
        """Make a repository; the answer carries the recovery key, once."""
        request = repository_pb2.CreateRepositoryRequest(
            display_name=display_name, url=url, passphrase=passphrase, chunk_bytes=chunk_bytes
        )
        return self._caller.unary(self._stub.CreateRepository, request, SLOW_SECONDS)

    def import_(self, display_name: str, url: str, secret: str) -> repository_pb2.Repository:
        """Take an existing repository into service by passphrase or recovery key."""
        request = repository_pb2.ImportRepositoryRequest(display_name=display_name, url=url, secret=secret)
        return self._caller.unary(self._stub.ImportRepository, request, SLOW_SECONDS)

    def get(self, name: str) -> repository_pb2.Repository:
        """One repository by resource name, UUID or display name."""
        return self._caller.unary(self._stub.GetRepository, repository_pb2.GetRepositoryRequest(name=name))

    def list(self) -> Iterator[repository_pb2.Repository]:
        """All repositories, by name."""
        return pages(
            lambda token: self._caller.unary(
                self._stub.ListRepositories, repository_pb2.ListRepositoriesRequest(page_token=token)
            ),
            lambda page: page.repositories,
        )

    def points(self, name: str) -> Iterator[point_pb2.Point]:
        """What a repository itself says it holds."""
        request = repository_pb2.ListPointsRequest(parent=name)
        for answer in self._caller.stream(self._stub.ListPoints, request):
            yield answer.point

    def read_stream(self, name: str, point_id: str, stream: str) -> Iterator[bytes]:
        """What a restore point holds beside disks; complete when the iteration ends."""
        request = repository_pb2.ReadPointStreamRequest(repository=name, point_id=point_id, stream=stream)
        for answer in self._caller.stream(self._stub.ReadPointStream, request):
            yield answer.data

    def verify(self, name: str, *, full: bool, share: float = 0.0, packs: int = 0) -> transfer_pb2.Transfer:
        """Start a verification; watch the transfer.

        With a ``share`` (up to 1) of the packs, or at most so many ``packs``, it reads those that come next:
        all are read in turn.
        """
        depth = repository_pb2.VerifyRepositoryRequest.DEPTH_FULL
        if not full:
            depth = repository_pb2.VerifyRepositoryRequest.DEPTH_SCRUB
        request = repository_pb2.VerifyRepositoryRequest(name=name, depth=depth)
        if share or packs:
            request.sample.CopyFrom(transfer_pb2.Sample(share=share, pack_count=packs))
        return self._caller.unary(self._stub.VerifyRepository, request)

    def statistics(self, name: str) -> Iterator[repository_pb2.GetRepositoryStatisticsResponse]:
        """What takes how much room: how far the survey is, then the total, assets, points and days."""
        request = repository_pb2.GetRepositoryStatisticsRequest(name=name)
        yield from self._caller.stream(self._stub.GetRepositoryStatistics, request)

    def probe(self, url: str) -> repository_pb2.ProbeRepositoryResponse:
        """Try what a place for repositories can be trusted with."""
        request = repository_pb2.ProbeRepositoryRequest(url=url)
        return self._caller.unary(self._stub.ProbeRepository, request, SLOW_SECONDS)

    def keys(self, name: str) -> Sequence[repository_pb2.RepositoryKey]:
        """The keys that open a repository."""
        request = repository_pb2.ListRepositoryKeysRequest(parent=name)
        return self._caller.unary(self._stub.ListRepositoryKeys, request, SLOW_SECONDS).keys

    def add_passphrase(
        self, name: str, passphrase: str, label: str = "", *, use: bool = False
    ) -> repository_pb2.AddRepositoryKeyResponse:
        """Let another passphrase open a repository; with ``use`` the movers open it with this one."""
        request = repository_pb2.AddRepositoryKeyRequest(
            parent=name, passphrase=passphrase, label=label, use=use
        )
        return self._caller.unary(self._stub.AddRepositoryKey, request, SLOW_SECONDS)

    def add_recovery_key(self, name: str, label: str = "") -> repository_pb2.AddRepositoryKeyResponse:
        """Make another recovery key; the answer carries it, once."""
        request = repository_pb2.AddRepositoryKeyRequest(parent=name, recovery=True, label=label)
        return self._caller.unary(self._stub.AddRepositoryKey, request, SLOW_SECONDS)

    def remove_key(self, name: str, key_id: str) -> Sequence[repository_pb2.RepositoryKey]:
        """Make a key useless; the keys that are left."""
        request = repository_pb2.RemoveRepositoryKeyRequest(parent=name, key_id=key_id)
        return self._caller.unary(self._stub.RemoveRepositoryKey, request, SLOW_SECONDS).keys

    def rotate_key(self, name: str) -> repository_pb2.RotateRepositoryKeyResponse:
        """Seal packs of later backups with a new data key; older ones stay readable."""
        request = repository_pb2.RotateRepositoryKeyRequest(parent=name)
        return self._caller.unary(self._stub.RotateRepositoryKey, request, SLOW_SECONDS)

    def epochs(self, name: str) -> Sequence[repository_pb2.RepositoryEpoch]:
        """The epochs of data keys, in order, and what is sealed with each."""
        request = repository_pb2.ListRepositoryEpochsRequest(parent=name)
        return self._caller.unary(self._stub.ListRepositoryEpochs, request, SLOW_SECONDS).epochs

    def retire_epochs(self, name: str, through: int = 0) -> transfer_pb2.Transfer:
        """Start storing again what older data keys seal, all but the current one's without ``through``."""
        request = repository_pb2.RetireRepositoryEpochsRequest(parent=name, through_epoch=through)
        return self._caller.unary(self._stub.RetireRepositoryEpochs, request, SLOW_SECONDS)

    def prune(
        self, name: str, *, dry_run: bool = False, grace: timedelta | None = None
    ) -> transfer_pb2.Transfer:
        """Start deleting what no restore point needs; watch the transfer.

        Points deleted less than ``grace`` ago can still be taken back; without it the mover's setting holds.
        """
        request = repository_pb2.PruneRepositoryRequest(name=name, dry_run=dry_run)
        if grace is not None:
            request.grace_duration.FromTimedelta(grace)
        return self._caller.unary(self._stub.PruneRepository, request)

    def copy(self, spec: transfer_pb2.CopySpec) -> transfer_pb2.Transfer:
        """Start copying restore points to another place; watch the transfer."""
        request = repository_pb2.CopyRepositoryRequest(spec=spec)
        return self._caller.unary(self._stub.CopyRepository, request)

    def heal(self, name: str, copy_url: str) -> transfer_pb2.Transfer:
        """Start storing again, from a copy, what only damaged packs hold; watch the transfer."""
        request = repository_pb2.HealRepositoryRequest(name=name, copy_url=copy_url)
        return self._caller.unary(self._stub.HealRepository, request)

    def delete_point(
        self, name: str, point_id: str, *, keep: int | None = None, purge: bool = False
    ) -> repository_pb2.DeletePointResponse:
        """Move a restore point to the trash, or ``purge`` it.

        ``keep`` other good points of its asset have to be left, 1 without.
        """
        request = repository_pb2.DeletePointRequest(
            parent=name, point_id=point_id, keep_count=keep, purge=purge
        )
        return self._caller.unary(self._stub.DeletePoint, request, SLOW_SECONDS)

    def undelete_point(self, name: str, point_id: str) -> point_pb2.Point:
        """Take a deleted restore point back out of the trash."""
        request = repository_pb2.UndeletePointRequest(parent=name, point_id=point_id)
        return self._caller.unary(self._stub.UndeletePoint, request, SLOW_SECONDS)

    def trash(self, name: str) -> Sequence[repository_pb2.TrashedPoint]:
        """Deleted restore points that can be taken back, the oldest first."""
        request = repository_pb2.ListTrashRequest(parent=name)
        return self._caller.unary(self._stub.ListTrash, request, SLOW_SECONDS).points

    def rebuild(self, name: str) -> transfer_pb2.Transfer:
        """Start rebuilding the index from the packs alone; watch the transfer."""
        request = repository_pb2.RebuildRepositoryRequest(name=name)
        return self._caller.unary(self._stub.RebuildRepository, request)
