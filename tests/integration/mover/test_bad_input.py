"""What an administrator may get wrong: one sentence, a way out, the right status, nothing left behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from xenkeep.mover.v1 import events_pb2, repository_pb2, repository_pb2_grpc, transfer_pb2

from services.chassis.errors import XenkeepError
from services.chassis.rpc.faults import error_from_rpc
from tests.integration.mover.lab import MIB, PASSPHRASE, PATIENCE_S, Lab, noise
from tests.support.nats import NatsServer


@dataclass
class Wrong:
    """A request to create or import, and what is wrong with it."""

    kind: str
    reason: str
    url: Callable[[Path], str] = lambda home: (home / "new").as_uri()
    name: str = "second"
    passphrase: str = PASSPHRASE
    chunk_bytes: int = 0
    imported: bool = False
    says: str = ""


WRONG = {
    "no name": Wrong("InvalidInput", "NAME_INVALID", name=""),
    "a name with a slash": Wrong("InvalidInput", "NAME_INVALID", name="../x"),
    "a name that is taken": Wrong("AlreadyExists", "REPOSITORY_EXISTS", name="main"),
    "a place that is taken": Wrong(
        "AlreadyExists", "REPOSITORY_EXISTS", lambda home: (home / "repository").as_uri()
    ),
    "a place that is taken, written otherwise": Wrong(
        "AlreadyExists",
        "REPOSITORY_EXISTS",
        lambda home: f"file://localhost{home}//x/../repository/",
    ),
    "a place that holds a repository nobody knows": Wrong(
        "AlreadyExists", "REPOSITORY_EXISTS", lambda home: (home / "link").as_uri()
    ),
    "no URL": Wrong("InvalidInput", "REPOSITORY_URL_INVALID", lambda home: ""),
    "a path": Wrong("InvalidInput", "REPOSITORY_URL_INVALID", lambda home: str(home / "new")),
    "a relative URL": Wrong("InvalidInput", "REPOSITORY_URL_INVALID", lambda home: "file:backup"),
    "a bucket with the key in the URL": Wrong(
        "InvalidInput", "REPOSITORY_URL_INVALID", lambda home: "s3://key:secret@bucket/prefix"
    ),
    "a bucket without credentials": Wrong(
        "FailedPrecondition", "STORE_CREDENTIALS_MISSING", lambda home: "s3://bucket/prefix"
    ),
    "another host": Wrong("InvalidInput", "REPOSITORY_URL_INVALID", lambda home: "file://nas/backup"),
    "a broken URL": Wrong("InvalidInput", "REPOSITORY_URL_INVALID", lambda home: "file://[/x"),
    "a zero byte": Wrong("InvalidInput", "REPOSITORY_URL_INVALID", lambda home: f"{home.as_uri()}/a%00b"),
    "a query": Wrong("InvalidInput", "REPOSITORY_URL_INVALID", lambda home: f"{home.as_uri()}/new?x=1"),
    "a file": Wrong("FailedPrecondition", "NOT_A_DIRECTORY", lambda home: (home / "file").as_uri()),
    "something in a file": Wrong(
        "FailedPrecondition", "NOT_A_DIRECTORY", lambda home: (home / "file" / "x" / "y").as_uri()
    ),
    "a directory in use": Wrong(
        "FailedPrecondition", "STORE_NOT_EMPTY", lambda home: (home / "full").as_uri()
    ),
    "an odd chunk size": Wrong("InvalidInput", "BAD_CHUNK_BYTES", chunk_bytes=100_000),
    "a huge chunk size": Wrong("InvalidInput", "BAD_CHUNK_BYTES", chunk_bytes=1 << 31),
    "no passphrase": Wrong("InvalidInput", "", passphrase=""),
    "a short passphrase": Wrong("InvalidInput", "", passphrase="abc"),
    "importing what is not there": Wrong("NotFound", "STORE_MISSING", imported=True),
    "importing an empty directory": Wrong(
        "NotFound", "NOT_A_REPOSITORY", lambda home: (home / "empty").as_uri(), imported=True
    ),
    "importing with a wrong passphrase": Wrong(
        "Unauthenticated",
        "WRONG_SECRET",
        lambda home: (home / "link").as_uri(),
        passphrase="another passphrase",
        imported=True,
    ),
    "importing a second time under another name": Wrong(
        "AlreadyExists",
        "REPOSITORY_EXISTS",
        lambda home: (home / "link").as_uri(),
        imported=True,
        says="link is the repository main, or a copy of it",
    ),
}


@pytest.fixture
async def lab(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Lab]:
    async with Lab(nats_server, tmp_path, {"disk-a": noise(MIB)}).running() as lab:
        yield lab


async def refusal(call: grpc.aio.UnaryUnaryCall) -> XenkeepError:  # type: ignore[type-arg]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return error_from_rpc(refused.value)


async def test_wrong_places_names_and_secrets(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "repository")

    def here() -> list[str]:
        return sorted(str(path) for path in tmp_path.rglob("*") if ".sqlite" not in path.name)

    before = await asyncio.to_thread(here)
    for what, wrong in WRONG.items():
        url = wrong.url(tmp_path)
        if wrong.imported:
            error = await refusal(
                lab.repositories.ImportRepository(
                    repository_pb2.ImportRepositoryRequest(
                        display_name=wrong.name, url=url, secret=wrong.passphrase
                    ),
                    timeout=PATIENCE_S,
                )
            )
        else:
            error = await refusal(
                lab.repositories.CreateRepository(
                    repository_pb2.CreateRepositoryRequest(
                        display_name=wrong.name,
                        url=url,
                        passphrase=wrong.passphrase,
                        chunk_bytes=wrong.chunk_bytes,
                    ),
                    timeout=PATIENCE_S,
                )
            )
        assert (wrong.kind, True) == (error.kind, error.reason.startswith(wrong.reason)), f"{what}: {error!r}"
        assert error.hint, what
        assert wrong.says in error.message
        assert len(wrong.passphrase) < 8 or wrong.passphrase not in str(error)
        assert before == await asyncio.to_thread(here), what
    listed = await lab.repositories.ListRepositories(
        repository_pb2.ListRepositoriesRequest(), timeout=PATIENCE_S
    )
    assert ["main"] == [repository.display_name for repository in listed.repositories]
    assert PASSPHRASE not in lab.mover.log.read_text()


async def test_a_repository_that_was_made_can_be_used_listed_and_imported_by_its_recovery_key(
    lab: Lab, tmp_path: Path
) -> None:
    made = await lab.repositories.CreateRepository(
        repository_pb2.CreateRepositoryRequest(
            display_name="second", url=(tmp_path / "a" / "b").as_uri(), passphrase=PASSPHRASE
        ),
        timeout=PATIENCE_S,
    )
    assert (repository_pb2.Repository.STATE_READY, "home", 1 << 20, 0) == (
        made.repository.state,
        made.repository.site,
        made.repository.chunk_bytes,
        made.repository.point_count,
    )
    added = await lab.event(
        events_pb2.RepositoryAdded, lambda event: event.repository_display_name == "second"
    )
    assert (made.repository.name, "home") == (added.repository, added.site)
    first = await lab.repositories.ListRepositories(
        repository_pb2.ListRepositoriesRequest(page_size=1), timeout=PATIENCE_S
    )
    rest = await lab.repositories.ListRepositories(
        repository_pb2.ListRepositoriesRequest(page_size=1, page_token=first.next_page_token),
        timeout=PATIENCE_S,
    )
    assert [["main"], ["second"], ""] == [
        [repository.display_name for repository in first.repositories],
        [repository.display_name for repository in rest.repositories],
        rest.next_page_token,
    ]
    (tmp_path / "a" / "b").rename(tmp_path / "moved")
    gone = await lab.repositories.GetRepository(
        repository_pb2.GetRepositoryRequest(name="second"), timeout=PATIENCE_S
    )
    assert repository_pb2.Repository.STATE_UNAVAILABLE == gone.state
    assert gone.state_message
    assert made.recovery_key not in lab.mover.log.read_text()


async def test_what_does_not_exist_is_not_found(lab: Lab) -> None:
    transfers, repositories = lab.transfers, lab.repositories
    for call in (
        transfers.GetTransfer(transfer_pb2.GetTransferRequest(name="transfers/x"), timeout=PATIENCE_S),
        transfers.CancelTransfer(transfer_pb2.CancelTransferRequest(name="transfers/x"), timeout=PATIENCE_S),
        repositories.GetRepository(repository_pb2.GetRepositoryRequest(name="x"), timeout=PATIENCE_S),
        repositories.VerifyRepository(repository_pb2.VerifyRepositoryRequest(name=""), timeout=PATIENCE_S),
        repositories.RebuildRepository(
            repository_pb2.RebuildRepositoryRequest(name="x" * 10_000), timeout=PATIENCE_S
        ),
    ):
        error = await refusal(call)
        assert "NotFound" == error.kind
        assert error.hint
        assert len(error.message) < 200
    for page in (
        transfer_pb2.ListTransfersRequest(page_token="x"),
        transfer_pb2.ListTransfersRequest(page_size=-1),
    ):
        listing = transfers.ListTransfers(page, timeout=PATIENCE_S)
        assert "InvalidInput" == (await refusal(listing)).kind


async def test_only_callers_that_are_named_are_answered(lab: Lab) -> None:
    async with lab.mover.channel("notifier") as way:
        stub = repository_pb2_grpc.RepositoryServiceStub(way)
        error = await refusal(
            stub.ListRepositories(repository_pb2.ListRepositoriesRequest(), timeout=PATIENCE_S)
        )
    assert "PermissionDenied" == error.kind
