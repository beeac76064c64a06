"""The tables of the catalog, as the newest migration leaves them."""

from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, Text

from services.chassis.tables import UtcTime

_METADATA = MetaData()

POINTS = Table(
    "points",
    _METADATA,
    Column("point_id", String(64), primary_key=True),
    Column("repository_id", String(64), nullable=False),
    Column("asset_id", String(64), nullable=False),
    Column("asset_name", Text, nullable=False),
    Column("pool_id", String(64), nullable=False),
    Column("pool_name", Text, nullable=False),
    Column("snapshot_time", UtcTime, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

HEALTHS = Table(
    "healths",
    _METADATA,
    # Also of points that are not known: damage may be told before the point is.
    Column("point_id", String(64), primary_key=True),
    Column("damage_time", UtcTime),
    Column("message", Text, nullable=False),
    Column("message_time", UtcTime),
    Column("verify_time", UtcTime),
    Column("sound_time", UtcTime),
)

REMOVED_POINTS = Table(
    "removed_points",
    _METADATA,
    Column("point_id", String(64), primary_key=True),
    Column("remove_time", UtcTime, nullable=False),
)

REPOSITORIES = Table(
    "repositories",
    _METADATA,
    Column("repository_id", String(64), primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("name_time", UtcTime, nullable=False),
)

WISHES = Table(
    "wishes",
    _METADATA,
    # Empty stands for all repositories.
    Column("repository_id", String(64), primary_key=True),
    Column("try_time", UtcTime, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("activity", Text, nullable=False),
    Column("grant_time", UtcTime),
)
