"""What COPY sends, many rows at a time: the driver gives one at a time, and its care for each is half of the work."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import psycopg
from psycopg import generators, pq, waiting

PIECE_BYTES = 1 << 18


class Copied:
    """The pieces of one COPY ... TO STDOUT, each of whole rows. rows: how many came so far; number: all, at the end."""

    def __init__(self, connection: psycopg.Connection[Any], statement: str, parameters: Sequence[Any] | None) -> None:
        self._connection, self._statement, self._parameters = connection, statement, parameters
        self._ended = False
        self.rows = 0
        self.number: int | None = None

    def __iter__(self) -> Generator[bytes]:
        """Everything, in pieces of about PIECE_BYTES. Raises the driver's errors."""
        with self._connection.cursor() as cursor, cursor.copy(self._statement, self._parameters) as copy:
            while not self._ended:
                rows = self._connection.wait(self._available())
                if self._ended:
                    copy._finished = True  # which its own reading would have said
                    self.number = self._connection.wait(self._result()).command_tuples
                self.rows += len(rows)
                if rows:
                    yield b"".join(rows)

    def _available(self) -> Any:
        """The rows that have come: at least one, but for the end."""
        pgconn = self._connection.pgconn
        rows: list[Any] = []
        held, take = 0, pgconn.get_copy_data
        while held < PIECE_BYTES:
            size, data = take(1)
            if size > 0:
                rows.append(data)
                held += size
            elif size < 0:
                self._ended = True
                break
            elif rows:
                break
            else:
                while not (yield waiting.Wait.R):
                    continue
                pgconn.consume_input()
        return rows

    def _result(self) -> Any:
        """How the statement ended."""
        result = (yield from generators.fetch_many(self._connection.pgconn))[0]
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)
        return result
