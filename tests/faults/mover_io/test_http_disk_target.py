"""Hosts that refuse, redirect, fail, hang up and hang while a disk is written."""

import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.chassis.errors import (
    Cancelled,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    XenkeepError,
)
from services.mover.adapters.http_disk_target import HttpDiskTarget
from services.mover.adapters.http_opener import HttpTargetOptions
from services.mover.adapters.http_put import HttpTimeouts
from services.mover.adapters.write_endpoint import WriteEndpoint
from services.mover.domain import Extent
from services.mover.fill_disk import fill_disk
from services.mover.ports import BlockTarget
from tests.integration.mover_io.framed_server import (
    FAILURE,
    OK,
    FramedServer,
    Script,
    Visit,
    cuts_after,
    fails_after,
    goes_silent,
    says,
    takes_all,
)
from tests.integration.mover_io.nbdkit import Certificate

FRAME = 65536
SIZE = 64 * FRAME
CONTENT = random.Random(13).randbytes(SIZE)
WHOLE = [Extent(0, SIZE)]
QUICK = HttpTargetOptions(frame_bytes=FRAME, first_pause=0.02, longest_pause=0.1)


def target_of(*servers: FramedServer) -> HttpDiskTarget:
    endpoints = [server.endpoint for server in servers]
    return HttpDiskTarget(SIZE, endpoints, lambda: endpoints, QUICK)


def feed(target: BlockTarget) -> None:
    for offset in range(0, SIZE, 4 * FRAME):
        target.write(offset, CONTENT[offset : offset + 4 * FRAME])


def codes(target: HttpDiskTarget) -> Sequence[str]:
    return [notice.code for notice in target.notices()]


def test_the_request_says_what_it_brings(tmp_path: Path) -> None:
    with FramedServer(tmp_path, SIZE) as server:
        assert fill_disk(target_of(server), WHOLE, feed) == 1
        assert server.disk == CONTENT
    (head,) = server.heads
    assert head.startswith("PUT /disk?session_id=secret HTTP/1.1\r\nHost: 127.0.0.1:")
    assert f"Content-Length: {SIZE + 12 * 64 + 12}\r\n" in head
    assert sorted(server.frames) == [(offset, FRAME) for offset in range(0, SIZE, FRAME)]


@pytest.mark.parametrize("cut", [0, 1, 30, 63, 64])
def test_a_cut_pass_is_written_again_from_its_beginning(tmp_path: Path, cut: int) -> None:
    with FramedServer(tmp_path, SIZE, [cuts_after(cut), takes_all]) as server:
        target = target_of(server)
        assert fill_disk(target, WHOLE, feed) == 2
        assert server.disk == CONTENT
    assert codes(target) == ["HTTP_WRITE_CUT", "DISK_PASS_AGAIN"]


def says_goodbye_after(frames: int) -> Script:
    def script(visit: Visit) -> None:
        visit.say(OK)
        visit.take_frames(frames)
        visit.goodbye()

    return script


@pytest.mark.parametrize("frames", [0, 1, 30, 63])
def test_an_end_before_the_end_is_a_cut_however_politely_it_comes(tmp_path: Path, frames: int) -> None:
    with FramedServer(tmp_path, SIZE, [says_goodbye_after(frames), takes_all]) as server:
        target = target_of(server)
        assert fill_disk(target, WHOLE, feed) == 2
        assert server.disk == CONTENT
    assert codes(target) == ["HTTP_WRITE_CUT", "DISK_PASS_AGAIN"]


def test_a_disk_that_is_always_cut_is_given_up(tmp_path: Path) -> None:
    with FramedServer(tmp_path, SIZE, [cuts_after(3)]) as server:
        with pytest.raises(Unavailable) as failed:
            fill_disk(target_of(server), WHOLE, feed, most_passes=3)
        assert len(server.heads) == 3
    assert failed.value.reason == "HTTP_WRITE_CUT"


def fails_at_the_end(visit: Visit) -> None:
    visit.say(OK)
    visit.take_frames()
    visit.say(FAILURE)
    visit.goodbye()


@pytest.mark.parametrize(
    "script", [fails_after(0), fails_after(5), fails_after(64), fails_at_the_end, says(OK + FAILURE)]
)
def test_a_failure_inside_the_connection_is_found_whenever_it_comes(tmp_path: Path, script: Script) -> None:
    with FramedServer(tmp_path, SIZE, [script]) as server, pytest.raises(XenkeepError) as failed:
        fill_disk(target_of(server), WHOLE, feed, most_passes=1)
    assert failed.value.reason in {"HTTP_WRITE_FAILED", "HTTP_WRITE_CUT"}
    assert "secret" not in str(failed.value)


def test_a_failure_is_told_in_the_hosts_own_code_and_not_in_its_words(tmp_path: Path) -> None:
    with FramedServer(tmp_path, SIZE, [fails_at_the_end]) as server:
        target = target_of(server)
        with pytest.raises(FailedPrecondition) as failed:
            fill_disk(target, WHOLE, feed)
        with pytest.raises(FailedPrecondition) as again:
            target.finish()
    assert failed.value.reason == "HTTP_WRITE_FAILED"
    assert "500, VDI_IO_ERROR" in failed.value.message
    assert again.value is failed.value
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (b"HTTP/1.1 401 Unauthorised\r\n\r\n", PermissionDenied, "HTTP_WRITE_DENIED"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", PermissionDenied, "HTTP_WRITE_DENIED"),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", FailedPrecondition, "HTTP_WRITE_REFUSED"),
        (b"HTTP/1.1 500 Internal Error\r\n\r\n", FailedPrecondition, "HTTP_WRITE_REFUSED"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", FailedPrecondition, "HTTP_WRITE_REFUSED"),
        (b"HTTP/1.1 302 Found\r\n\r\n", FailedPrecondition, "HTTP_WRITE_REFUSED"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n",
            FailedPrecondition,
            "HTTP_REDIRECT_REFUSED",
        ),
        (b"HTTP/1.1 302 Found\r\nLocation: https://[/\r\n\r\n", FailedPrecondition, "HTTP_REDIRECT_REFUSED"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: https://10.0.0.9/x\r\n\r\n",
            FailedPrecondition,
            "HTTP_REDIRECT_REFUSED",
        ),
    ],
)
def test_hosts_that_refuse_thrice_although_freshly_named_are_believed(
    tmp_path: Path, answer: bytes, kind: type[XenkeepError], reason: str
) -> None:
    with FramedServer(tmp_path, SIZE, [says(answer)]) as server:
        target = target_of(server)
        with pytest.raises(XenkeepError) as failed:
            target.begin(WHOLE)
        assert len(server.heads) == 3
    assert (type(failed.value), failed.value.reason) == (kind, reason)
    assert reason in codes(target)
    assert "secret" not in f"{failed.value} {target.notices()}"


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10000],
    ids=["none", "half", "endless"],
)
def test_an_answer_that_does_not_end_is_a_passing_failure(tmp_path: Path, answer: bytes) -> None:
    with FramedServer(tmp_path, SIZE, [says(answer), takes_all]) as server:
        target = target_of(server)
        assert fill_disk(target, WHOLE, feed) == 1
        assert server.disk == CONTENT
    assert codes(target) == ["HTTP_WRITE_CUT"]


def test_an_ended_session_is_replaced_by_asking_again(tmp_path: Path) -> None:
    with FramedServer(tmp_path, SIZE, [says(b"HTTP/1.1 401 Unauthorised\r\n\r\n"), takes_all]) as server:
        target = target_of(server)
        assert fill_disk(target, WHOLE, feed) == 1
        assert server.disk == CONTENT
    assert codes(target) == ["HTTP_WRITE_DENIED"]


def test_a_redirect_is_followed_to_a_host_that_was_named(tmp_path: Path) -> None:
    with FramedServer(tmp_path, SIZE, host_id="host-2") as second:
        location = f"HTTP/1.1 302 Found\r\nLocation: {second.endpoint.url}\r\n\r\n".encode()
        with FramedServer(tmp_path, SIZE, [says(location)]) as first:
            target = target_of(first, second)
            assert fill_disk(target, WHOLE, feed) == 1
            assert second.disk == CONTENT
            assert first.frames == []
    assert codes(target) == ["HTTP_REDIRECTED"]


def test_a_host_that_is_down_is_passed_over(tmp_path: Path) -> None:
    with (
        FramedServer(tmp_path, SIZE, host_id="host-2") as server,
        FramedServer(tmp_path, SIZE, host_id="host-1") as gone,
    ):
        gone.stop()
        target = target_of(gone, server)
        assert fill_disk(target, WHOLE, feed) == 1
        assert server.disk == CONTENT
    assert codes(target) == ["HTTP_UNREACHABLE"]


def test_patience_ends(tmp_path: Path) -> None:
    with FramedServer(tmp_path, SIZE) as gone:
        pass
    options = HttpTargetOptions(frame_bytes=FRAME, patience=0.2, first_pause=0.02, longest_pause=0.1)
    target = HttpDiskTarget(SIZE, [], lambda: [gone.endpoint], options)
    with pytest.raises(Unavailable) as failed:
        target.begin(WHOLE)
    assert failed.value.reason == "HTTP_NO_HOST"


def test_a_disk_that_is_gone_for_good_fails_at_once() -> None:
    def refresh() -> list[WriteEndpoint]:
        raise NotFound("The restore target was aborted.", reason="TARGET_GONE")

    with pytest.raises(NotFound):
        HttpDiskTarget(SIZE, [], refresh, QUICK).begin(WHOLE)


def test_another_certificate_is_another_server(tmp_path: Path) -> None:
    with FramedServer(tmp_path, SIZE) as server:
        imposter = WriteEndpoint("host-1", server.endpoint.url, Certificate.new().certificate)
        target = HttpDiskTarget(SIZE, [imposter], lambda: [imposter], QUICK)
        with pytest.raises(Unauthenticated):
            target.begin(WHOLE)
        assert server.heads == []


def test_a_server_may_wait_for_the_client_to_end_tls_too(tmp_path: Path) -> None:
    def waits(visit: Visit) -> None:
        visit.say(OK)
        visit.take_frames()
        visit.goodbye(wait=True)

    with FramedServer(tmp_path, SIZE, [waits]) as server:
        target = target_of(server)
        assert fill_disk(target, WHOLE, feed) == 1
    assert codes(target) == []


def test_an_end_without_goodbye_is_told(tmp_path: Path) -> None:
    def ends_raggedly(visit: Visit) -> None:
        visit.say(OK)
        visit.take_frames()

    with FramedServer(tmp_path, SIZE, [ends_raggedly]) as server:
        target = target_of(server)
        assert fill_disk(target, WHOLE, feed) == 1
    assert codes(target) == ["HTTP_END_UNANNOUNCED"]


def test_a_host_that_stops_reading_is_not_waited_for_longer_than_allowed(tmp_path: Path) -> None:
    size = 512 * FRAME
    with FramedServer(tmp_path, size, [goes_silent]) as server:
        options = HttpTargetOptions(frame_bytes=FRAME, timeouts=HttpTimeouts(write=0.5))
        target = HttpDiskTarget(size, [server.endpoint], lambda: [server.endpoint], options)
        target.begin([Extent(0, size)])
        with pytest.raises(Unavailable) as failed:
            target.write(0, bytes(size))
    assert failed.value.reason == "HTTP_WRITE_CUT"


def test_an_abort_ends_a_write_that_hangs(tmp_path: Path) -> None:
    size = 512 * FRAME
    options = HttpTargetOptions(frame_bytes=FRAME, timeouts=HttpTimeouts(write=60))
    reached = threading.Event()

    def stops_reading(visit: Visit) -> None:
        visit.say(OK)
        visit.take_frames(1)
        reached.set()
        visit.server.stopped.wait()

    with FramedServer(tmp_path, size, [stops_reading]) as server, ThreadPoolExecutor(1) as thread:
        target = HttpDiskTarget(size, [server.endpoint], lambda: [server.endpoint], options)
        target.begin([Extent(0, size)])
        writing = thread.submit(target.write, 0, bytes(size))
        reached.wait()
        target.abort()
        with pytest.raises(Cancelled):
            writing.result(timeout=50)
        with pytest.raises(Cancelled):
            target.begin([Extent(0, size)])


def test_an_abort_ends_a_wait_for_a_host() -> None:
    asked = threading.Event()

    def refresh() -> list[WriteEndpoint]:
        asked.set()
        return []

    options = HttpTargetOptions(frame_bytes=FRAME, first_pause=60, longest_pause=60)
    with ThreadPoolExecutor(1) as thread:
        target = HttpDiskTarget(SIZE, [], refresh, options)
        beginning = thread.submit(target.begin, WHOLE)
        asked.wait()
        target.abort()
        with pytest.raises(Cancelled):
            beginning.result(timeout=50)


@pytest.mark.parametrize(
    "url",
    [
        "http://h/d",
        "https:///d",
        "https://h:99999/d",
        "https://u:p@h/d",
        "https://h/d\r\nX: y",
        "https://h/a b",
        "https://h/d#f",
        "https://hé/d",
        "",
    ],
)
def test_a_url_that_is_none_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        WriteEndpoint("host-1", url, "")
    assert not url or url not in str(refused.value)


def test_an_endpoint_does_not_show_its_secret() -> None:
    endpoint = WriteEndpoint("host-1", "https://10.0.0.1/import?session_id=secret", "pem")
    assert "secret" not in repr(endpoint)
    assert (endpoint.address, endpoint.port, endpoint.target) == (
        "10.0.0.1",
        443,
        "/import?session_id=secret",
    )


@pytest.mark.parametrize("frame_bytes", [0, 512, 4097, -4096])
def test_frames_are_whole_pages(frame_bytes: int) -> None:
    with pytest.raises(InvalidInput):
        HttpDiskTarget(SIZE, [], list, HttpTargetOptions(frame_bytes=frame_bytes))
