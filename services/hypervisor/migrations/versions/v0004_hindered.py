"""VMs whose snapshot was refused."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hindered",
        sa.Column("pool_id", sa.String(36), primary_key=True),
        sa.Column("vm_id", sa.String(36), primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("hindered")
