"""Repositories in service, transfers."""

import sqlalchemy as sa
from alembic import op

from services.chassis.tables import UtcTime, chassis_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    chassis_tables(op)
    op.create_table(
        "repositories",
        sa.Column("repository_id", sa.String(64), primary_key=True),
        sa.Column("display_name", sa.String(64), nullable=False, unique=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("create_time", UtcTime, nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "transfers",
        sa.Column("transfer_id", sa.String(64), primary_key=True),
        sa.Column("create_time", UtcTime, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("start_time", UtcTime),
        sa.Column("end_time", UtcTime),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("spec", sa.LargeBinary, nullable=False),
        sa.Column("progress", sa.LargeBinary, nullable=False),
        sa.Column("result", sa.LargeBinary),
        sa.Column("failure", sa.LargeBinary),
    )
    op.create_index("transfers_create_time", "transfers", ["create_time", "transfer_id"])
    op.create_table("refused_transfers", sa.Column("transfer_id", sa.String(64), primary_key=True))


def downgrade() -> None:
    for table in ("refused_transfers", "transfers", "repositories", "inbox", "outbox"):
        op.drop_table(table)
