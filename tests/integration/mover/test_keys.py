"""Keys of a repository and probes of places, asked of a real mover."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from xenkeep.mover.v1 import repository_pb2, repository_pb2_grpc

from services.chassis.errors import (
    FailedPrecondition,
    InvalidInput,
    NotFound,
    Unauthenticated,
    XenkeepError,
)
from services.chassis.rpc.faults import error_from_rpc
from services.mover.repository import DirectoryStore, open_repository
from tests.integration.mover.lab import PASSPHRASE, PATIENCE_S, Lab
from tests.support.exposure import everything_below, leaves_no_core, shown_by
from tests.support.nats import NatsServer
from tests.support.seaweed import Seaweed

NEW = "another passphrase, longer"


@pytest.fixture
async def lab(nats_server: NatsServer, tmp_path: Path, seaweed: Seaweed) -> AsyncIterator[Lab]:
    env = {"XENKEEP_S3_CREDENTIALS_DIR": str(seaweed.credentials)}
    async with Lab(nats_server, tmp_path, {}).running(env) as running:
        yield running


async def _keys(lab: Lab) -> list[tuple[str, bool]]:
    request = repository_pb2.ListRepositoryKeysRequest(parent="main")
    answer = await lab.repositories.ListRepositoryKeys(request, timeout=PATIENCE_S)
    return [(key.key_id, key.in_use) for key in answer.keys]


async def _add(
    lab: Lab, *, passphrase: str = "", recovery: bool = False, use: bool = False, label: str = ""
) -> repository_pb2.AddRepositoryKeyResponse:
    request = repository_pb2.AddRepositoryKeyRequest(
        parent="main", passphrase=passphrase, recovery=recovery, use=use, label=label
    )
    return await lab.repositories.AddRepositoryKey(request, timeout=PATIENCE_S)


async def _remove(lab: Lab, key_id: str) -> None:
    request = repository_pb2.RemoveRepositoryKeyRequest(parent="main", key_id=key_id)
    await lab.repositories.RemoveRepositoryKey(request, timeout=PATIENCE_S)


def _opens(lab: Lab, secret: str, cache: Path) -> bool:
    try:
        open_repository(DirectoryStore(lab.place), secret, cache).close()
    except Unauthenticated:
        return False
    return True


async def test_a_leaked_passphrase_is_replaced_and_the_mover_goes_on_after_a_restart(
    lab: Lab, tmp_path: Path
) -> None:
    assert [("passphrase-1", True), ("recovery-1", False)] == await _keys(lab)
    assert "passphrase-2" == (await _add(lab, passphrase=NEW, use=True, label="since the leak")).key.key_id
    await _remove(lab, "passphrase-1")
    assert [("passphrase-2", True), ("recovery-1", False)] == await _keys(lab)
    assert _opens(lab, NEW, tmp_path)
    assert not _opens(lab, PASSPHRASE, tmp_path)
    await lab.mover.kill()
    await lab.mover.start()
    async with lab.mover.channel() as way:
        stub = repository_pb2_grpc.RepositoryServiceStub(way)
        asked = repository_pb2.GetRepositoryRequest(name="main")
        again = await stub.GetRepository(asked, timeout=PATIENCE_S)
    assert repository_pb2.Repository.STATE_READY == again.state


async def test_what_a_mover_keeps_and_shows_opens_no_repository(lab: Lab, tmp_path: Path) -> None:
    """Its database, cache and log without the sealing key; its arguments, environment and core dumps."""
    with open_repository(DirectoryStore(lab.place), PASSPHRASE, tmp_path / "cache") as repository:
        root = repository._context.keys.root
    await lab.mover.end()
    await lab.mover.start(("env",))  # by itself, for what the kernel shows of it
    kept = [*everything_below(lab.mover.data), *lab.directory.glob("site.sqlite*")]
    told = [path.read_bytes() for path in kept if path.name != "sealing.key"]
    told += [lab.mover.log.read_bytes(), shown_by(lab.mover.pid)]

    assert {"sealing.key", "site.sqlite"} <= {path.name for path in kept}
    assert [] == [data for data in told if PASSPHRASE.encode() in data or root in data]
    assert leaves_no_core(lab.mover.pid)


async def test_a_new_recovery_key_opens_the_repository(lab: Lab, tmp_path: Path) -> None:
    added = await _add(lab, recovery=True)
    assert "recovery-2" == added.key.key_id
    assert _opens(lab, added.recovery_key, tmp_path)


NEEDED_OR_UNKNOWN: list[tuple[str, type[XenkeepError], str]] = [
    ("recovery-1", FailedPrecondition, "TOO_FEW_KEYS"),
    ("passphrase-1", FailedPrecondition, "KEY_IN_USE"),
    ("passphrase-9", NotFound, "SLOT_MISSING"),
    ("../points/x", InvalidInput, "BAD_ID"),
]


async def test_a_key_that_is_needed_or_unknown_is_not_removed(lab: Lab) -> None:
    before = await _keys(lab)
    for key_id, error, reason in NEEDED_OR_UNKNOWN:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _remove(lab, key_id)
        told = error_from_rpc(caught.value)
        assert (error, reason) == (type(told), told.reason)
    assert before == await _keys(lab)


async def test_a_bucket_is_probed_left_as_it_was_and_takes_a_repository(
    lab: Lab, seaweed: Seaweed, tmp_path: Path
) -> None:
    seaweed.store(tmp_path.name).put("there", [b"before"])
    for url in (lab.place.as_uri(), seaweed.place(tmp_path.name).url):
        request = repository_pb2.ProbeRepositoryRequest(url=url)
        report = await lab.repositories.ProbeRepository(request, timeout=PATIENCE_S)
        verdicts = {finding.check: finding.verdict for finding in report.findings}
        assert repository_pb2.ProbeFinding.VERDICT_GOOD == verdicts["create-only"]
        assert report.write_bytes_per_second > 0
    assert ["there"] == [stored.name for stored in seaweed.store(tmp_path.name).list("")]
    wanted = repository_pb2.CreateRepositoryRequest(
        display_name="bucket", url=seaweed.place(f"{tmp_path.name}-new").url, passphrase=NEW
    )
    made = await lab.repositories.CreateRepository(wanted, timeout=PATIENCE_S)
    assert repository_pb2.Repository.STATE_READY == made.repository.state
    assert seaweed.place(f"{tmp_path.name}-new").url == made.repository.url
