"""A server of S3 that answers nonsense: an answer, or a named error."""

import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import Unavailable, XenkeepError
from services.mover.repository.stores.s3 import S3Store
from services.mover.repository.stores.s3_place import S3Place
from tests.faults.repository.mutations import mutated
from tests.support.injections import Injections
from tests.support.scenarios import THOROUGH

pytestmark = pytest.mark.scenario(13, 36)
TIME, SIZE, KEY = b"2026-01-01T00:00:00.000Z", b"<Size>5</Size>", b"<Key>r/points/a</Key>"
LISTED = (
    b'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
    b"<IsTruncated>false</IsTruncated><Contents>"
    + KEY
    + b"<LastModified>"
    + TIME
    + b"</LastModified>"
    + SIZE
    + b"</Contents></ListBucketResult>"
)


class Answering(ThreadingHTTPServer):
    body = LISTED


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Answering)
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering(("127.0.0.1", 0), _Handler) as running:
        thread = threading.Thread(target=lambda: running.serve_forever(poll_interval=0.02))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def store(server: Answering, tmp_path: Path) -> S3Store:
    (tmp_path / "k").write_text("aws_access_key_id = a\naws_secret_access_key = b\n")
    place = S3Place("b", "r/", f"http://127.0.0.1:{server.server_address[1]}", "us-east-1", "k", "")
    return S3Store(place, credentials=tmp_path, pause=lambda _: None, on_notice=lambda *_: None)


@pytest.mark.parametrize(
    ("was", "said"), [(SIZE, b"<Size>x</Size>"), (SIZE, b""), (TIME, b"yesterday"), (TIME, b""), (KEY, b"")]
)
def test_a_list_without_sense_is_told_as_that(
    server: Answering, store: S3Store, was: bytes, said: bytes
) -> None:
    assert [found.name for found in store.list("points/")] == ["points/a"]
    server.body = LISTED.replace(was, said)
    with pytest.raises(Unavailable, match="its answer makes no sense"):
        list(store.list("points/"))


def test_a_list_that_was_changed_on_the_way_is_a_list_or_a_named_error(
    server: Answering, store: S3Store, injections: Injections
) -> None:
    for seed in range(300 if THOROUGH else 8):
        server.body = mutated(LISTED, random.Random(seed))
        with injections.one():
            try:
                assert all(found.name.startswith("points/") for found in store.list("points/"))
            except XenkeepError as error:
                assert error.message and error.reason != "INTERNAL"
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise
