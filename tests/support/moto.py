"""Moto's S3 in a process of its own: what SeaweedFS does otherwise or not at all. It keeps all in memory."""

import os
import re
import subprocess
import sysconfig
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.mover.repository.stores.s3 import S3Store
from services.mover.repository.stores.s3_place import S3Place, connect
from tests.support.waiting import PATIENCE_S

PROGRAM = Path(sysconfig.get_path("scripts")) / "moto_server"
KEYS_A_PAGE = 3


class Moto:
    """A server that lists ``KEYS_A_PAGE`` keys at a time, with buckets that keep versions and can lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.credentials = folder / "credentials"
        self._process: subprocess.Popen[str] | None = None
        self.endpoint = ""

    def start(self) -> None:
        self.credentials.mkdir()
        lines = "aws_access_key_id = somebody\naws_secret_access_key = secret\n"
        (self.credentials / "somebody").write_text(lines)
        self._process = subprocess.Popen(
            [PROGRAM, "-H", "127.0.0.1", "-p", "0"],
            env=os.environ | {"MOTO_S3_DEFAULT_MAX_KEYS": str(KEYS_A_PAGE)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", line):
                self.endpoint = found[1]
                self._reading = threading.Thread(target=deque, args=(self._process.stderr, 0))
                self._reading.start()  # it tells of every request: a full pipe would stop it
                return
        raise AssertionError("moto did not come up")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=PATIENCE_S)
            assert self._process.stderr is not None
            self._reading.join()
            self._process.stderr.close()

    def client(self, bucket: str) -> Any:
        """Of whoever has the credentials; makes the bucket."""
        client = connect(self.place(bucket), self.credentials, None)
        client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        return client

    def place(self, bucket: str, lock: str = "", endpoint: str = "") -> S3Place:
        return S3Place(bucket, "here/", endpoint or self.endpoint, "us-east-1", "somebody", lock)

    def store(
        self,
        bucket: str,
        lock: str = "",
        endpoint: str = "",
        on_notice: Callable[[str, str], None] | None = None,
    ) -> S3Store:
        return S3Store(self.place(bucket, lock, endpoint), credentials=self.credentials, on_notice=on_notice)


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """One for the tests of a module; each takes a bucket of its own."""
    server = Moto(tmp_path_factory.mktemp("moto"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
