"""The directory with the files that channels may name."""

import asyncio
from pathlib import Path

from services.chassis.config import Secret
from services.chassis.errors import FailedPrecondition

LARGEST_BYTES = 1 << 20


class ChannelFiles:
    """Reads files below one directory and no others.

    Whoever may create a channel could otherwise have any file of this machine sent to a server of theirs.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def password(self, name: str) -> Secret:
        lines = (await asyncio.to_thread(self._read, name)).splitlines()
        if not lines or not lines[0]:
            raise self._refusal(name, "has no password in its first line", "PASSWORD_MISSING")
        return Secret(lines[0])

    async def certificates(self, name: str) -> str:
        return await asyncio.to_thread(self._read, name) if name else ""

    def _read(self, name: str) -> str:
        try:
            directory = self._directory.resolve(strict=True)
            path = (directory / name).resolve(strict=True)
            if not path.is_relative_to(directory) or not path.is_file():
                raise self._refusal(name, "is not a file in the directory for channel files", "FILE_OUTSIDE")
            if path.stat().st_size > LARGEST_BYTES:
                raise self._refusal(name, "is larger than 1 MiB", "FILE_TOO_LARGE")
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise self._refusal(name, "is not UTF-8 text", "FILE_UNREADABLE") from error
        except (OSError, ValueError) as error:
            what = getattr(error, "strerror", None) or "no file name"
            raise self._refusal(name, f"cannot be read: {what}", "FILE_UNREADABLE") from error

    def _refusal(self, name: str, what: str, reason: str) -> FailedPrecondition:
        return FailedPrecondition(
            f"The channel's file {name[:200]!r} {what}.",
            reason=reason,
            hint=f"Put it into {self._directory}, readable by the notifier, and name it relative to that.",
        )
