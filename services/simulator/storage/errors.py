"""What can go wrong in a storage repository, in the words of XenServer's storage manager.

Numbers and sentences: sm, drivers/XE_SR_ERRORCODES.xml.
"""

from __future__ import annotations


class StorageError(Exception):
    """A refused or failed storage operation; `code` and `params` are what a XenAPI client would read."""

    def __init__(self, code: str, *params: str) -> None:
        super().__init__(f"{code}: {', '.join(params)}" if params else code)
        self.code = code
        self.params = params


class BackendFailure(StorageError):
    """SR_BACKEND_FAILURE_<number> ["", sentence, ""], the shape of every error a storage driver raises."""

    def __init__(self, number: int, sentence: str, detail: str = "") -> None:
        text = f"{sentence} [opterr={detail}]" if detail else sentence
        super().__init__(f"SR_BACKEND_FAILURE_{number}", "", text, "")


class NoSpace(BackendFailure):
    """The storage repository has no room left for what was asked."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(44, "There is insufficient space", detail)


class DiskMissing(BackendFailure):
    """No disk of that uuid is in this storage repository."""

    def __init__(self, uuid: str) -> None:
        super().__init__(46, "The VDI is not available", f"no VDI {uuid} in this SR")


class BadSize(BackendFailure):
    """A virtual size outside of what the image format can hold, or one that would shrink a disk."""

    def __init__(self, detail: str) -> None:
        super().__init__(79, "VDI Invalid size", detail)


class ChainTooLong(BackendFailure):
    """A snapshot would make the chain longer than the drivers allow; coalescing shortens it."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(109, "The snapshot chain is too long", detail)


class ChangedBlocksUnknown(BackendFailure):
    """Changed blocks between two disks cannot be told: unrelated, same, wrong order, or one without a log."""

    def __init__(self, detail: str = "Source and target VDI are unrelated") -> None:
        super().__init__(460, "Failed to calculate changed blocks for given VDIs", detail)


class OutOfRange(ValueError):
    """A read or write that is not sector aligned or leaves the disk; the fault of the caller."""


class BadImage(ValueError):
    """An imported stream is not what its format promises; the disk holds whatever was written before."""


class DiskExists(ValueError):
    """A new node was to be given the uuid of one that is there; the fault of the caller."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"a VDI {uuid} is already in this SR; choose another uuid")
