"""The repository engine: backups in, restores out of objects in a store, as docs/repository-format.md says.

A synchronous, threaded library that knows nothing of services, messages or hypervisors.
"""

from services.mover.repository.copying.healing import HealReport
from services.mover.repository.copying.report import CopyOptions, CopyReport
from services.mover.repository.epochs import EpochUse
from services.mover.repository.extents import Extent
from services.mover.repository.format.header import DEFAULT_CHUNK_BYTES
from services.mover.repository.format.names import FORMAT_VERSION
from services.mover.repository.format.point import VM_CONFIGURATION, Disk, Notice, RestorePoint
from services.mover.repository.format.slot import Argon2Cost
from services.mover.repository.format.stream import StreamRef
from services.mover.repository.lifecycle import create_repository, open_repository
from services.mover.repository.objectcheck import scrub
from services.mover.repository.opening import repair_header
from services.mover.repository.ports import BlockSource, BlockTarget, Progress
from services.mover.repository.pruning.report import PruneOptions, PruneReport
from services.mover.repository.readable import Statistics
from services.mover.repository.repository import Repository
from services.mover.repository.request import BackupOptions, DiskRequest, PointDescription
from services.mover.repository.restore import Reached, RestoreOptions
from services.mover.repository.sampling import Sample, Sampled
from services.mover.repository.session import BackupSession
from services.mover.repository.store import Store, StoredObject
from services.mover.repository.stores.directory import DirectoryStore
from services.mover.repository.stores.memory import MemoryStore
from services.mover.repository.trash import Trashed
from services.mover.repository.usage.report import AssetUsage, DayUsage, PointUsage, TotalUsage, Usage
from services.mover.repository.verification import Finding, Verification

__all__ = [
    "DEFAULT_CHUNK_BYTES",
    "FORMAT_VERSION",
    "VM_CONFIGURATION",
    "Argon2Cost",
    "AssetUsage",
    "BackupOptions",
    "BackupSession",
    "BlockSource",
    "BlockTarget",
    "CopyOptions",
    "CopyReport",
    "DayUsage",
    "DirectoryStore",
    "Disk",
    "DiskRequest",
    "EpochUse",
    "Extent",
    "Finding",
    "HealReport",
    "MemoryStore",
    "Notice",
    "PointDescription",
    "PointUsage",
    "Progress",
    "PruneOptions",
    "PruneReport",
    "Reached",
    "Repository",
    "RestoreOptions",
    "RestorePoint",
    "Sample",
    "Sampled",
    "Statistics",
    "Store",
    "StoredObject",
    "StreamRef",
    "TotalUsage",
    "Trashed",
    "Usage",
    "Verification",
    "create_repository",
    "open_repository",
    "repair_header",
    "scrub",
]
