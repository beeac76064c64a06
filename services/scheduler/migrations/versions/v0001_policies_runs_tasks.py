"""Policies, runs and tasks."""

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
        "policies",
        sa.Column("policy_id", sa.String(64), primary_key=True),
        sa.Column("next_run_time", UtcTime),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("policies_next_run_time", "policies", ["next_run_time"])
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("create_time", UtcTime, nullable=False),
        sa.Column("request_id", sa.String(64), unique=True),
        sa.Column("policy_id", sa.String(64), nullable=False),
        sa.Column("ended", sa.Boolean, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("runs_create_time", "runs", ["create_time", "run_id"])
    op.create_index("runs_ended", "runs", ["ended", "policy_id"])
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.String(64), primary_key=True),
        sa.Column("run_id", sa.String(64), sa.ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("transfer_id", sa.String(64), unique=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("result", sa.LargeBinary, nullable=False),
    )
    op.create_index("tasks_run_id", "tasks", ["run_id", "position"])


def downgrade() -> None:
    for table in ("tasks", "runs", "policies", "inbox", "outbox"):
        op.drop_table(table)
