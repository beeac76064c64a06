"""Pools, their VMs, backup sources and restore targets."""

import sqlalchemy as sa
from alembic import op

from services.chassis.tables import chassis_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    chassis_tables(op)
    op.create_table(
        "pools",
        sa.Column("pool_id", sa.String(36), primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("password", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "vms",
        sa.Column(
            "pool_id", sa.String(36), sa.ForeignKey("pools.pool_id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("vm_id", sa.String(36), primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "sources",
        sa.Column("source_id", sa.String(36), primary_key=True),
        sa.Column("pool_id", sa.String(36), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("configuration", sa.LargeBinary),
    )
    op.create_index("sources_pool_state", "sources", ["pool_id", "state"])
    op.create_table(
        "bitmaps",
        sa.Column(
            "source_id",
            sa.String(36),
            sa.ForeignKey("sources.source_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("disk_id", sa.String(36), primary_key=True),
        sa.Column("bitmap", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "targets",
        sa.Column("target_id", sa.String(36), primary_key=True),
        sa.Column("pool_id", sa.String(36), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("configuration", sa.LargeBinary),
    )
    op.create_index("targets_pool_state", "targets", ["pool_id", "state"])


def downgrade() -> None:
    for table in ("targets", "bitmaps", "sources", "vms", "pools", "inbox", "outbox"):
        op.drop_table(table)
