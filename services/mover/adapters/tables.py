"""The tables of the mover, as the newest migration leaves them.

What is not searched for is kept as the serialised message of the contract.
"""

from sqlalchemy import Boolean, Column, Integer, LargeBinary, MetaData, String, Table, Text

from services.chassis.tables import UtcTime

_METADATA = MetaData()

REPOSITORIES = Table(
    "repositories",
    _METADATA,
    Column("repository_id", String(64), primary_key=True),
    Column("display_name", String(64), nullable=False, unique=True),
    Column("url", Text, nullable=False),
    Column("create_time", UtcTime, nullable=False),
    Column("sealed_secret", LargeBinary, nullable=False),
)

TRANSFERS = Table(
    "transfers",
    _METADATA,
    Column("transfer_id", String(64), primary_key=True),
    Column("create_time", UtcTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("start_time", UtcTime),
    Column("end_time", UtcTime),
    Column("attempt", Integer, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("spec", LargeBinary, nullable=False),
    Column("progress", LargeBinary, nullable=False),
    Column("result", LargeBinary),
    Column("failure", LargeBinary),
)

REFUSED = Table("refused_transfers", _METADATA, Column("transfer_id", String(64), primary_key=True))
"""Cancelled before any mover of this site had met them."""
