"""The tables of the hypervisor service, as the newest migration leaves them."""

from sqlalchemy import Column, ForeignKey, LargeBinary, MetaData, String, Table, Text

_METADATA = MetaData()

POOLS = Table(
    "pools",
    _METADATA,
    Column("pool_id", String(36), primary_key=True),
    Column("document", Text, nullable=False),
    # Sealed.
    Column("password", LargeBinary, nullable=False),
)

VMS = Table(
    "vms",
    _METADATA,
    # What was last known and told of each VM.
    Column("pool_id", String(36), ForeignKey("pools.pool_id", ondelete="CASCADE"), primary_key=True),
    Column("vm_id", String(36), primary_key=True),
    Column("document", Text, nullable=False),
)

HINDERED = Table(
    "hindered",
    _METADATA,
    # Until their snapshot is possible, or their pool is removed.
    Column("pool_id", String(36), primary_key=True),
    Column("vm_id", String(36), primary_key=True),
    Column("document", Text, nullable=False),
)

GROUPS = Table(
    "groups",
    _METADATA,
    Column("group_id", String(36), primary_key=True),
    Column("document", Text, nullable=False),
)

SOURCES = Table(
    "sources",
    _METADATA,
    Column("source_id", String(36), primary_key=True),
    Column("pool_id", String(36), nullable=False),
    Column("state", String(16), nullable=False),
    Column("document", Text, nullable=False),
    # Sealed; only while the source is OPEN.
    Column("configuration", LargeBinary),
)

BITMAPS = Table(
    "bitmaps",
    _METADATA,
    Column("source_id", String(36), ForeignKey("sources.source_id", ondelete="CASCADE"), primary_key=True),
    Column("disk_id", String(36), primary_key=True),
    # zlib.
    Column("bitmap", LargeBinary, nullable=False),
)

INTERVENTIONS = Table(
    "interventions",
    _METADATA,
    # Until the source is closed.
    Column("source_id", String(36), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

TARGETS = Table(
    "targets",
    _METADATA,
    Column("target_id", String(36), primary_key=True),
    Column("pool_id", String(36), nullable=False),
    Column("state", String(16), nullable=False),
    Column("document", Text, nullable=False),
    # Sealed; until the target is COMMITTED or ABORTED.
    Column("configuration", LargeBinary),
)
