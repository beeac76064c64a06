"""The tables of the scheduler, as the newest migration leaves them.

A value is kept as one JSON document; the columns beside it are what is searched for.
"""

from sqlalchemy import Boolean, Column, ForeignKey, Integer, LargeBinary, MetaData, String, Table, Text

from services.chassis.tables import UtcTime

_METADATA = MetaData()

POLICIES = Table(
    "policies",
    _METADATA,
    Column("policy_id", String(64), primary_key=True),
    Column("next_run_time", UtcTime),
    Column("document", Text, nullable=False),
)

RUNS = Table(
    "runs",
    _METADATA,
    Column("run_id", String(64), primary_key=True),
    Column("create_time", UtcTime, nullable=False),
    Column("request_id", String(64), unique=True),
    Column("policy_id", String(64), nullable=False),
    Column("ended", Boolean, nullable=False),
    # Without the tasks.
    Column("document", Text, nullable=False),
)

TASKS = Table(
    "tasks",
    _METADATA,
    Column("task_id", String(64), primary_key=True),
    Column("run_id", String(64), ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("transfer_id", String(64), unique=True),
    # Without the result.
    Column("document", Text, nullable=False),
    Column("result", LargeBinary, nullable=False),
)
