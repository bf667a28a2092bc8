"""Going back loses what only the newer schema can hold: that is refused unless it is asked for, or nothing is lost."""

import sqlalchemy as sa
from alembic import op

from backstay.errors import UsageError

DROP_DATA = "drop_data"


def drop_tables(*names: str) -> None:
    """Drop tables, in this order; raises UsageError where one holds rows, unless the caller allowed to lose them."""
    connection = op.get_bind()
    allowed = connection.get_execution_options().get(DROP_DATA, False)
    for name in names:
        count = connection.execute(sa.select(sa.func.count()).select_from(sa.table(name))).scalar_one()
        if count and not allowed:
            raise UsageError(
                f"going back further would delete the {count} {'row' if count == 1 else 'rows'} of the table {name}",
                cure="make a backup first (backstay db backup), then give --drop-data",
            )
    for name in names:
        op.drop_table(name)


def drop_functions(*names: str) -> None:
    """Drop functions of triggers, which only PostgreSQL has."""
    if op.get_context().dialect.name == "postgresql":
        for name in names:
            op.execute(f"DROP FUNCTION {name}()")
