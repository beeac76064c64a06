"""Pruning a bucket while somebody writes to it."""

from pathlib import Path

from services.mover.repository import BackupSession, PruneOptions
from tests.support.seaweed import Seaweed
from tests.unit.repository.world import (
    KIB,
    MIB,
    OPTIONS,
    add_disk,
    back_up,
    description,
    new_repository,
    noise,
    reopen,
    restored,
)


def test_a_bucket_is_pruned_while_a_backup_that_began_later_runs(seaweed: Seaweed, tmp_path: Path) -> None:
    gone, kept = noise(3 * MIB, 1), noise(2 * MIB, 2)
    with (
        new_repository(seaweed.store(tmp_path.name), tmp_path / "one", 256 * KIB, MIB) as one,
        reopen(seaweed.store(tmp_path.name), tmp_path / "two") as two,
    ):
        back_up(one, "gone", gone)
        back_up(one, "kept", kept + gone[: 256 * KIB])
        one.delete_point("gone")
        announced: list[BackupSession] = []

        def listener(activity: str, total: int, done: int) -> None:
            if total and not announced:
                announced.append(two.begin_backup("new", options=OPTIONS))

        options = PruneOptions(grace_seconds=0, patience_seconds=0, repack_below=0)
        report = one.prune(options, listener=listener)
        (session,) = announced
        add_disk(session, gone + kept)
        session.commit(description())
        assert report.deleted_bytes > MIB
        assert report.waiting_points == report.revoked_points == ()
        for repository in (one, two):
            assert restored(repository, "kept") == kept + gone[: 256 * KIB]
            assert restored(repository, "new") == gone + kept
        assert two.verify(full=True).findings == ()
        assert [stored.name for stored in seaweed.store(tmp_path.name).list("leases/")] == []
