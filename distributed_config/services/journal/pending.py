"""Rows of the journal and of the audit log that wait to be inserted together.

Every change is a row of the one, and every transaction that changed something a row of the other.
All that a batch of transactions recorded is inserted at once, at its end: one statement of many
rows costs a fraction of as many statements and, where the database is on another machine, a single
round trip. A statement that reads one of these tables has to find the rows: whoever sees all
statements (``store/batch.py``) inserts them before it.
"""

from functools import lru_cache

from sqlalchemy import Connection, Dialect, insert

from distributed_config.models import AuditRow, Base, ChangeRow
from distributed_config.wire import HashField

Row = tuple[HashField, ...]

TABLES: tuple[str, str] = (ChangeRow.__tablename__, AuditRow.__tablename__)
"""The names of the tables whose rows wait."""


class Pending:
    """The rows that the transactions on ``connection`` have recorded and not inserted yet."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[type[Base], list[Row]] = {ChangeRow: [], AuditRow: []}

    def add_change(self, row: Row) -> None:
        """Add a row of the journal; its values are all columns in the order of the table."""
        self._rows[ChangeRow].append(row)

    def add_entry(self, row: Row) -> None:
        """Add a row of the audit log; its values are all columns in the order of the table."""
        self._rows[AuditRow].append(row)

    def mark(self) -> tuple[int, ...]:
        """Return a mark of what has been added so far, for ``forget_after``."""
        return tuple(len(rows) for rows in self._rows.values())

    def forget_after(self, mark: tuple[int, ...]) -> None:
        """Forget what was added after ``mark``, because its transaction is undone."""
        for rows, length in zip(self._rows.values(), mark, strict=True):
            del rows[length:]

    def insert(self) -> None:
        """Insert all rows."""
        for table in self._rows:
            # Taken out first: the insertion is a statement as well.
            rows, self._rows[table] = self._rows[table], []
            if not rows:
                continue
            try:
                # Given to the driver as text: SQLAlchemy would look at each value of each row.
                self._connection.exec_driver_sql(_insert(table, self._connection.dialect), rows)
            except Exception:  # whatever it is, others recorded these rows
                # They are tried again at the end of the batch, which fails then as a whole.
                self._rows[table] = rows
                raise


@lru_cache(maxsize=16)
def _insert(table: type[Base], dialect: Dialect) -> str:
    """Return the SQL that inserts a row; its parameters are the columns in their order."""
    return str(insert(table).compile(dialect=dialect))
