"""Reading objects of a bucket."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import ClientError

from services.chassis.errors import DataLoss, Unavailable
from services.mover.repository.lending import room_to_read
from services.mover.repository.store import require_possible
from services.mover.repository.stores.s3_errors import status_of
from services.mover.repository.stores.s3_requests import S3Requests

_PIECE: Final = 1 << 20
"""Bytes taken from a connection together when there is a place for them already."""


class S3Reads(S3Requests):
    """Whole objects are compared with the checksum the server has of them; ranges have none."""

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if length == 0 or (length is None and offset and offset >= self.size(name)):
            if offset > self.size(name):
                raise short(name)
            return b""
        if length is None and not offset:
            return self._try("read", name, lambda s3: _all_of(self._whole(s3, name)))
        data = self._try("read", name, lambda s3: _all_of(self._range(s3, name, offset, length)))
        if length is not None and len(data) != length:
            raise short(name)
        return data

    @contextmanager
    def lend(self, name: str, offset: int, length: int) -> Iterator[memoryview]:
        """See ``LendingStore``."""
        require_possible(name, length)
        with room_to_read(length) as room:
            data = room[:length]
            if length:
                self._try("read", name, lambda s3: self._read_into(s3, name, offset, data))
            elif offset > self.size(name):
                raise short(name)
            yield data

    def size(self, name: str) -> int:
        return int(self._head(name)["ContentLength"])

    def _head(self, name: str) -> dict[str, Any]:
        return self._try("find", name, lambda s3: dict(s3.head_object(**self._at(name))))

    def _read_into(self, s3: Any, name: str, offset: int, place: memoryview) -> None:
        answer = self._range(s3, name, offset, len(place)) if offset else self._whole(s3, name)
        if not offset and int(answer["ContentLength"]) > len(place):
            answer["Body"].close()
            answer = self._range(s3, name, offset, len(place))
        if int(answer["ContentLength"]) != len(place):
            answer["Body"].close()
            raise short(name)
        have = 0
        while piece := answer["Body"].read(_PIECE):  # to the end: the checksum is looked at there
            if have + len(piece) > len(place):
                answer["Body"].close()
                raise _another_part(name)
            place[have : have + len(piece)] = piece
            have += len(piece)

    def _whole(self, s3: Any, name: str) -> dict[str, Any]:
        return self._opened(s3, name, {"ChecksumMode": "ENABLED"})

    def _range(self, s3: Any, name: str, offset: int, length: int | None) -> dict[str, Any]:
        """Raises Unavailable for an answer to another question."""
        end = "" if length is None else str(offset + length - 1)
        answer = self._opened(s3, name, {"Range": f"bytes={offset}-{end}"})
        start = str(answer.get("ContentRange", "")).removeprefix("bytes ").partition("-")[0]
        if start != str(offset):
            answer["Body"].close()
            raise _another_part(name)
        return answer

    def _opened(self, s3: Any, name: str, how: dict[str, str]) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = s3.get_object(**self._at(name), **how)
        except ClientError as error:
            if status_of(error) == 416:
                raise short(name) from error
            raise
        try:
            require_possible(name, int(answer["ContentLength"]))
        except DataLoss:
            answer["Body"].close()
            raise
        return answer


def short(name: str) -> DataLoss:
    return DataLoss(f"{name} is shorter than expected.", reason="OBJECT_SHORT", metadata={"object": name})


def _another_part(name: str) -> Unavailable:
    return Unavailable(
        f"The store answered with another part of {name} than was asked for.",
        reason="STORE_WRONG_RANGE",
        hint="Check the S3 server and what is between.",
        metadata={"object": name},
    )


def _all_of(answer: dict[str, Any]) -> bytes:
    """Raises BotoCoreError for an answer that is cut."""
    data: bytes = answer["Body"].read()
    return data
