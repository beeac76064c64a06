"""Hosts die, fill up, refuse and come back while a disk is read: it is read whole, and notices say how."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from services.chassis.errors import Cancelled, DataLoss, NotFound, Unavailable
from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.nbd_handshake import NbdTimeouts
from services.mover.adapters.nbd_pool import NbdPool
from services.mover.adapters.nbd_supply import NbdPoolOptions, NbdSupply
from services.mover.domain import BlockRead
from services.mover.notice_book import NoticeBook
from tests.faults.mover_io.hostile_nbd import SIZE, HostileNbd, Script, Talk, good
from tests.integration.mover_io.nbdkit import Nbdkit

pytestmark = pytest.mark.scenario(40)

CONTENT = random.Random(11).randbytes(SIZE)
QUICK = NbdPoolOptions(patience=30, first_pause=0.05, longest_pause=0.2)


def codes(pool: NbdPool) -> set[str]:
    return {notice.code for notice in pool.notices()}


def reads_of(content: bytes, step: int = 16384) -> list[BlockRead]:
    return [BlockRead(at, memoryview(bytearray(step))) for at in range(0, len(content), step)]


def read_all(pool: NbdPool, threads: int = 4) -> bytes:
    reads = reads_of(CONTENT)
    shared = iter(reads)
    with ThreadPoolExecutor(threads) as workers:
        list(workers.map(lambda _: list(pool.read_many(shared)), range(threads)))
    return b"".join(read.buffer for read in reads)


def no_refresh() -> list[NbdEndpoint]:
    raise AssertionError("there was no need to ask")


def serves(reads: int, then: Script) -> Script:
    def script(talk: Talk) -> None:
        talk.greet()
        talk.export()
        for _ in range(reads):
            talk.reply(talk.request())
        then(talk)

    return script


def hangs_up(talk: Talk) -> None:
    """Nothing more: the connection ends with the script."""


def hangs_up_on_a_read(talk: Talk) -> None:
    talk.request()


def refuses_a_read(talk: Talk) -> None:
    talk.reply(talk.request(), error=5)


def refuses_the_export(talk: Talk) -> None:
    talk.greet()
    talk.exactly(16)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(CONTENT)
    return path


def test_connections_that_break_are_replaced_and_their_reads_done_again(tmp_path: Path) -> None:
    scripts = [
        serves(3, hangs_up),
        serves(5, lambda talk: talk.say(b"\0" * 16)),
        serves(0, refuses_a_read),
        good,
    ]
    with HostileNbd(tmp_path, scripts, disk=CONTENT) as server:
        pool = NbdPool(SIZE, [server.endpoint], lambda: [server.endpoint], QUICK)
        assert read_all(pool, threads=1) == CONTENT
        pool.close()
    assert codes(pool) >= {"NBD_CONNECTION_LOST", "NBD_PROTOCOL_VIOLATION", "NBD_READ_REFUSED"}
    assert pool.bytes_read == SIZE
    assert pool.bytes_redone >= 3 * 16384


def test_a_host_that_dies_is_replaced_by_the_others(image: Path) -> None:
    with Nbdkit(image, "host-1") as first, Nbdkit(image, "host-2") as second:
        pool = NbdPool(SIZE, [first.endpoint, second.endpoint], no_refresh, QUICK)
        reads = reads_of(CONTENT)
        shared = iter(reads)

        def work(kill: bool) -> None:
            for count, _ in enumerate(pool.read_many(shared)):
                if kill and count == 3:
                    first.kill()

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, [True, False, False, False]))
        assert b"".join(read.buffer for read in reads) == CONTENT
        pool.close()


def test_when_the_last_host_dies_it_is_asked_where_the_disk_is_now(image: Path) -> None:
    with Nbdkit(image, "host-1") as first, Nbdkit(image, "host-2") as second:
        asked = threading.Event()

        def refresh() -> list[NbdEndpoint]:
            asked.set()
            return [second.endpoint]

        pool = NbdPool(SIZE, [first.endpoint], refresh, QUICK)
        done: list[BlockRead] = []
        for read in pool.read_many(reads_of(CONTENT)):
            done.append(read)
            if len(done) == 2:
                first.kill()
        assert b"".join(read.buffer for read in sorted(done, key=lambda read: read.offset)) == CONTENT
        assert asked.is_set()
        assert "NBD_ENDPOINTS_ASKED" in codes(pool)
        pool.close()


def test_a_pool_that_moves_its_coordinator_only_pauses_the_read(image: Path) -> None:
    """Nobody can say where the disk is for a while, then the same host gives it again."""
    with Nbdkit(image, "host-1") as gone, Nbdkit(image, "host-1b") as back:
        answers: Iterator[object] = iter(
            [Unavailable("The pool is electing.", reason="POOL_UNREACHABLE"), []]
        )

        def refresh() -> list[NbdEndpoint]:
            answer = next(answers, [back.endpoint])
            if isinstance(answer, Unavailable):
                raise answer
            assert isinstance(answer, list)
            return answer

        gone.kill()
        pool = NbdPool(SIZE, [gone.endpoint], refresh, QUICK)
        assert read_all(pool) == CONTENT
        assert "POOL_UNREACHABLE" in codes(pool)
        pool.close()


def test_a_disk_that_is_gone_for_good_fails_at_once(tmp_path: Path) -> None:
    def refresh() -> list[NbdEndpoint]:
        raise NotFound("The snapshot was deleted.", reason="SNAPSHOT_GONE")

    with HostileNbd(tmp_path, [refuses_the_export]) as server:
        pool = NbdPool(SIZE, [server.endpoint], refresh, QUICK)
        with pytest.raises(NotFound):
            pool.read_into(0, memoryview(bytearray(512)))
        assert codes(pool) == {"NBD_EXPORT_REFUSED"}
        pool.close()


def test_patience_ends_and_says_what_was_wrong_at_last(tmp_path: Path) -> None:
    options = NbdPoolOptions(patience=0.4, first_pause=0.05, longest_pause=0.1)
    with HostileNbd(tmp_path, [refuses_the_export]) as server:
        pool = NbdPool(SIZE, [server.endpoint], lambda: [server.endpoint], options)
        with pytest.raises(Unavailable) as failed:
            pool.read_into(0, memoryview(bytearray(512)))
        pool.close()
    assert failed.value.reason == "NBD_SOURCE_LOST"
    assert "does not give the disk" in failed.value.message
    assert "secret" not in str(failed.value)


def test_a_disk_nobody_offers_is_waited_for_and_then_given_up() -> None:
    options = NbdPoolOptions(patience=0.3, first_pause=0.05, longest_pause=0.1)
    pool = NbdPool(SIZE, [], list, options)
    with pytest.raises(Unavailable) as failed:
        pool.read_into(0, memoryview(bytearray(512)))
    assert failed.value.reason == "NBD_SOURCE_LOST"
    pool.close()


def test_a_sector_that_cannot_be_read_is_data_loss_after_some_tries(tmp_path: Path) -> None:
    bad = 5 * 16384

    def has_a_bad_sector(talk: Talk) -> None:
        talk.greet()
        talk.export()
        while (request := talk.request()).command == 0:
            if request.offset == bad:
                talk.reply(request, error=5)
                return
            talk.reply(request)

    with HostileNbd(tmp_path, [has_a_bad_sector], disk=CONTENT) as server:
        pool = NbdPool(SIZE, [server.endpoint], lambda: [server.endpoint], QUICK)
        with pytest.raises(DataLoss) as failed:
            list(pool.read_many(reads_of(CONTENT)))
        pool.close()
        assert 4 <= server.connections <= 6
    assert failed.value.metadata["offset"] == str(bad)


def test_a_read_that_breaks_every_connection_is_given_up(tmp_path: Path) -> None:
    options = NbdPoolOptions(patience=0.4, first_pause=0.02, longest_pause=0.1)
    with HostileNbd(tmp_path, [serves(0, hangs_up_on_a_read)]) as server:
        pool = NbdPool(SIZE, [server.endpoint], lambda: [server.endpoint], options)
        with pytest.raises(Unavailable) as failed:
            pool.read_into(0, memoryview(bytearray(512)))
        pool.close()
    assert failed.value.reason == "NBD_READ_GIVEN_UP"


def test_a_full_host_is_left_alone_while_another_gives_the_disk(tmp_path: Path) -> None:
    with (
        HostileNbd(tmp_path, [hangs_up], disk=CONTENT, host_id="host-1") as full,
        HostileNbd(tmp_path, [good], disk=CONTENT, host_id="host-2") as free,
    ):
        pool = NbdPool(SIZE, [full.endpoint, free.endpoint], no_refresh, QUICK)
        assert read_all(pool) == CONTENT
        pool.close()
        assert full.connections <= 3
        assert 1 <= free.connections <= 4
    assert codes(pool) == {"NBD_HOST_FULL"}


def test_a_full_host_is_waited_for_when_there_is_no_other(tmp_path: Path) -> None:
    with HostileNbd(tmp_path, [hangs_up, hangs_up, good], disk=CONTENT) as server:
        pool = NbdPool(SIZE, [server.endpoint], lambda: [server.endpoint], QUICK)
        assert read_all(pool) == CONTENT
        pool.close()
    assert "NBD_HOST_FULL" in codes(pool)


def test_one_disk_takes_no_more_connections_than_allowed(tmp_path: Path) -> None:
    options = NbdPoolOptions(connections=3, connections_per_host=2)
    with (
        HostileNbd(tmp_path, [good], disk=CONTENT, host_id="host-1") as one,
        HostileNbd(tmp_path, [good], disk=CONTENT, host_id="host-2") as two,
    ):
        pool = NbdPool(SIZE, [one.endpoint, two.endpoint], no_refresh, options)
        assert read_all(pool, threads=8) == CONTENT
        pool.close()
        assert one.connections + two.connections <= 3
        assert max(one.connections, two.connections) <= 2


def test_a_host_with_a_smaller_disk_is_not_believed(tmp_path: Path) -> None:
    def smaller(talk: Talk) -> None:
        talk.greet()
        talk.export(size=SIZE - 512)
        talk.serve()

    with (
        HostileNbd(tmp_path, [smaller], host_id="host-1") as wrong,
        HostileNbd(tmp_path, [good], disk=CONTENT, host_id="host-2") as right,
    ):
        pool = NbdPool(SIZE, [wrong.endpoint, right.endpoint], lambda: [right.endpoint], QUICK)
        assert read_all(pool) == CONTENT
        pool.close()
    assert codes(pool) == {"NBD_DISK_TOO_SMALL"}


def test_closing_ends_reads_that_hang(tmp_path: Path) -> None:
    asked = threading.Event()

    def hangs(talk: Talk) -> None:
        talk.request()
        asked.set()
        talk.hang()

    options = NbdPoolOptions(timeouts=NbdTimeouts(reply=60))
    with HostileNbd(tmp_path, [serves(1, hangs)], disk=CONTENT) as server, ThreadPoolExecutor(1) as thread:
        pool = NbdPool(SIZE, [server.endpoint], no_refresh, options)
        reading = thread.submit(lambda: list(pool.read_many(reads_of(CONTENT))))
        asked.wait()
        pool.close()
        with pytest.raises(Cancelled):
            reading.result(timeout=50)


def test_closing_ends_a_wait_for_the_disk(tmp_path: Path) -> None:
    asked = threading.Event()

    def refresh() -> list[NbdEndpoint]:
        asked.set()
        return []

    with ThreadPoolExecutor(1) as thread:
        pool = NbdPool(SIZE, [], refresh, NbdPoolOptions(first_pause=60))
        reading = thread.submit(lambda: pool.read_into(0, memoryview(bytearray(512))))
        asked.wait()
        pool.close()
        with pytest.raises(Cancelled):
            reading.result(timeout=50)


def test_an_error_of_the_caller_goes_through_untouched(tmp_path: Path) -> None:
    def broken() -> Iterator[BlockRead]:
        yield BlockRead(0, memoryview(bytearray(512)))
        raise Unavailable("The repository is away.", reason="REPOSITORY_UNREACHABLE")

    with HostileNbd(tmp_path, [good], disk=CONTENT) as server:
        pool = NbdPool(SIZE, [server.endpoint], no_refresh, QUICK)
        with pytest.raises(Unavailable) as failed:
            list(pool.read_many(broken()))
        assert failed.value.reason == "REPOSITORY_UNREACHABLE"
        assert read_all(pool) == CONTENT
        assert pool.notices() == ()
        pool.close()


def test_a_share_that_shrinks_is_kept_to_without_a_word_to_people(image: Path) -> None:
    with Nbdkit(image) as server:
        wide = replace(server.endpoint, max_connections=3)
        narrow = replace(server.endpoint, max_connections=1)
        now = [0.0]
        asked: list[int] = []

        def refresh() -> list[NbdEndpoint]:
            asked.append(1)
            return [narrow]

        options = replace(QUICK, connections=3, share_age=60)
        notices = NoticeBook()
        supply = NbdSupply(SIZE, [wide], refresh, options, notices, monotonic=lambda: now[0])
        held = [supply.take() for _ in range(3)]
        now[0] = 61.0
        supply.give_back(held.pop())
        kept = supply.take()
        for connection in (kept, *held):
            supply.give_back(connection)
        last = supply.take()
        assert (asked, last is held[-1], notices.all()) == ([1], True, ())
        supply.give_back(last)
        supply.close()
