"""Channels and deliveries."""

import sqlalchemy as sa
from alembic import op

from services.chassis.tables import UtcTime, chassis_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    chassis_tables(op)
    op.create_table(
        "channels",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("minimum_severity", sa.Integer, nullable=False),
        sa.Column("event_types", sa.JSON, nullable=False),
        sa.Column("create_time", UtcTime, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.String(36), primary_key=True),
        sa.Column("channel", sa.String(63), nullable=False),
        sa.Column("recipient", sa.String(320), nullable=False),
        sa.Column("event_id", sa.String(128), nullable=False),
        sa.Column("event_type", sa.String(255), nullable=False),
        sa.Column("incident", sa.String(255), nullable=False),
        sa.Column("notification", sa.JSON, nullable=False),
        sa.Column("create_time", UtcTime, nullable=False),
        sa.Column("next_attempt_time", UtcTime, nullable=False),
        sa.Column("claim_until", UtcTime),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("confirmed", sa.Boolean, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("finish_time", UtcTime),
        sa.UniqueConstraint("event_id", "channel", "recipient", name="one_per_event_and_recipient"),
    )
    op.create_index("deliveries_to_carry", "deliveries", ["state", "channel", "next_attempt_time"])
    op.create_index("deliveries_by_age", "deliveries", ["create_time", "delivery_id"])
    op.create_index("deliveries_by_topic", "deliveries", ["incident", "event_type", "create_time"])
    op.create_index("deliveries_ended", "deliveries", ["finish_time"])
