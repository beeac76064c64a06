"""Alembic without its env.py: a service's package holds ``versions/*.py`` and nothing else.

A revision file is Alembic's usual one; the first calls ``chassis_tables(op)``. All revisions of one start run
in one transaction, under the schema's writer lock, so that a kill leaves the old schema and two starts do not
collide.
"""

from importlib import resources
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from services.chassis.errors import FailedPrecondition


def upgrade(connection: Connection, package: str) -> None:
    """Raises FailedPrecondition DATABASE_NEWER when the schema was made by a newer release."""
    if connection.dialect.name == "postgresql":
        schema = connection.scalar(text("SELECT current_setting('search_path')"))
        if not inspect(connection).has_schema(schema):  # even IF NOT EXISTS needs the right to create one
            connection.execute(text(f'CREATE SCHEMA "{schema}"'))
    with resources.as_file(resources.files(package)) as directory:
        config = Config()
        config.set_main_option("script_location", str(directory).replace("%", "%%"))
        scripts = ScriptDirectory.from_config(config)

        def to_newest(revision: Any, _: object) -> Any:
            return scripts._upgrade_revs("heads", revision)

        with EnvironmentContext(config, scripts, fn=to_newest, destination_rev="heads") as environment:
            environment.configure(connection=connection, transactional_ddl=True)
            try:
                environment.run_migrations()
            except CommandError as error:
                raise FailedPrecondition(
                    f"The database does not fit this release: {error}.",
                    reason="DATABASE_NEWER",
                    hint="It was migrated by a newer release. Start that one, or restore the older database.",
                ) from error
