"""What the mover tells others."""

from dataclasses import dataclass

from services.mover.domain.capture import Failure, Remark
from services.mover.domain.point import Damage, Point
from services.mover.domain.transfer import Coverage, Progress, Result, Spec


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """Work for the site's queue."""

    transfer_id: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class RepositoryAdded:
    repository_id: str
    display_name: str


@dataclass(frozen=True, slots=True)
class TransferStarted:
    transfer_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class TransferProgressed:
    transfer_id: str
    progress: Progress


@dataclass(frozen=True, slots=True)
class TransferFinished:
    transfer_id: str
    result: Result


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """``retryable`` says whether the same request may succeed later, ``notices`` what was remarked before."""

    transfer_id: str
    failure: Failure
    retryable: bool
    notices: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class TransferCancelled:
    transfer_id: str


@dataclass(frozen=True, slots=True)
class PointCommitted:
    point: Point
    repository_display_name: str


@dataclass(frozen=True, slots=True)
class PointExpired:
    """``recoverable`` says whether it is in the trash."""

    repository_id: str
    repository_display_name: str
    point_id: str
    recoverable: bool


@dataclass(frozen=True, slots=True)
class PointUndeleted:
    point: Point
    repository_display_name: str


@dataclass(frozen=True, slots=True)
class DamageFound:
    repository_id: str
    repository_display_name: str
    damages: tuple[Damage, ...]


@dataclass(frozen=True, slots=True)
class RepositoryVerified:
    """With a ``coverage`` only a sample was read, and no point is called sound."""

    repository_id: str
    repository_display_name: str
    full: bool
    sound_points: tuple[str, ...]
    damaged_points: tuple[str, ...]
    coverage: Coverage | None = None


Fact = (
    TransferRequested
    | RepositoryAdded
    | TransferStarted
    | TransferProgressed
    | TransferFinished
    | TransferFailed
    | TransferCancelled
    | PointCommitted
    | PointExpired
    | PointUndeleted
    | DamageFound
    | RepositoryVerified
)
