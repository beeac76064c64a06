"""The tables as statements see them; `migrations` makes them."""

from sqlalchemy import JSON, Boolean, Column, Integer, MetaData, String, Table, Text

from services.chassis.tables import UtcTime

_METADATA = MetaData()

CHANNELS = Table(
    "channels",
    _METADATA,
    Column("name", String(63), primary_key=True),
    Column("kind", String(16)),
    Column("settings", JSON),
    Column("minimum_severity", Integer),
    Column("event_types", JSON),
    Column("create_time", UtcTime),
)

DELIVERIES = Table(
    "deliveries",
    _METADATA,
    Column("delivery_id", String(36), primary_key=True),
    Column("channel", String(63)),
    Column("recipient", String(320)),
    Column("event_id", String(128)),
    Column("event_type", String(255)),
    Column("incident", String(255)),
    Column("notification", JSON),
    Column("create_time", UtcTime),
    Column("next_attempt_time", UtcTime),
    Column("claim_until", UtcTime),
    Column("state", String(16)),
    Column("attempts", Integer),
    Column("confirmed", Boolean),
    Column("detail", Text),
    Column("finish_time", UtcTime),
)
