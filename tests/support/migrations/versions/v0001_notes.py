"""Notes."""

import sqlalchemy as sa
from alembic import op

from services.chassis.tables import UtcTime, chassis_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    chassis_tables(op)
    op.create_table(
        "notes",
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("text", sa.String(200), nullable=False),
        sa.Column("noted_time", UtcTime, nullable=True),
    )
