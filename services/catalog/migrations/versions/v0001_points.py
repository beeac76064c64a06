"""Points, what is known of them, and the repositories they are in."""

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
        "points",
        sa.Column("point_id", sa.String(64), primary_key=True),
        sa.Column("repository_id", sa.String(64), nullable=False),
        sa.Column("asset_id", sa.String(64), nullable=False),
        sa.Column("asset_name", sa.Text, nullable=False),
        sa.Column("pool_id", sa.String(64), nullable=False),
        sa.Column("pool_name", sa.Text, nullable=False),
        sa.Column("snapshot_time", UtcTime, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    op.create_index("points_snapshot_time", "points", ["snapshot_time", "point_id"])
    op.create_index("points_asset_id", "points", ["asset_id", "snapshot_time"])
    op.create_index("points_repository_id", "points", ["repository_id"])
    op.create_table(
        "healths",
        sa.Column("point_id", sa.String(64), primary_key=True),
        sa.Column("damage_time", UtcTime),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("message_time", UtcTime),
        sa.Column("verify_time", UtcTime),
        sa.Column("sound_time", UtcTime),
    )
    op.create_table(
        "removed_points",
        sa.Column("point_id", sa.String(64), primary_key=True),
        sa.Column("remove_time", UtcTime, nullable=False),
    )
    op.create_table(
        "repositories",
        sa.Column("repository_id", sa.String(64), primary_key=True),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("name_time", UtcTime, nullable=False),
    )
    op.create_table(
        "wishes",
        sa.Column("repository_id", sa.String(64), primary_key=True),
        sa.Column("try_time", UtcTime, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("activity", sa.Text, nullable=False),
        sa.Column("grant_time", UtcTime),
    )


def downgrade() -> None:
    for table in ("wishes", "repositories", "removed_points", "healths", "points", "inbox", "outbox"):
        op.drop_table(table)
