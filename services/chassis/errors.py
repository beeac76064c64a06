"""Everything that can go wrong, as one tree.

A leaf is a *kind*: what the caller may do about it. ``xenkeep.status`` says which gRPC code and CLI exit code
a kind has. ``reason`` is the stable machine-readable code within the kind; ``message`` is one sentence for a
person; ``hint`` is the way out.
"""

from collections.abc import Mapping


class XenkeepError(Exception):
    """The root. Raise a leaf."""

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        hint: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """``reason`` is UPPER_SNAKE and stable; ``metadata`` names what the error is about, never secrets."""
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.hint = hint
        self.metadata = dict(metadata or {})

    @property
    def kind(self) -> str:
        """The leaf's name, the key of the status table."""
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message

    def __repr__(self) -> str:
        return f"{self.kind}({self.reason}: {self.message!r})"


class InvalidInput(XenkeepError):
    """The request is wrong whatever the state of the system."""


class NotFound(XenkeepError):
    """The named thing does not exist."""


class AlreadyExists(XenkeepError):
    """A thing of that name exists and is not the one asked for."""


class FailedPrecondition(XenkeepError):
    """The request is right, the state of the system is not; repeating it helps only after a change."""


class Unauthenticated(XenkeepError):
    """Nobody has vouched for the caller."""


class PermissionDenied(XenkeepError):
    """The caller is known and may not."""


class Unavailable(XenkeepError):
    """A neighbour cannot be reached right now; repeating the request is right."""


class ResourceExhausted(XenkeepError):
    """A limit, a quota or a disk is full."""


class Aborted(XenkeepError):
    """A concurrent change won; read again and decide again."""


class DataLoss(XenkeepError):
    """Stored data is damaged or gone."""


class DeadlineExceeded(XenkeepError):
    """The answer did not come in the time the caller gave."""


class Cancelled(XenkeepError):
    """The caller, or an administrator, called it off."""


class Internal(XenkeepError):
    """A defect of ours."""


KINDS: Mapping[str, type[XenkeepError]] = {
    leaf.__name__: leaf
    for leaf in (
        InvalidInput,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        Unauthenticated,
        PermissionDenied,
        Unavailable,
        ResourceExhausted,
        Aborted,
        DataLoss,
        DeadlineExceeded,
        Cancelled,
        Internal,
    )
}
"""Every leaf by name."""
