"""A database to explore in the browser: ordinary rows, related rows, and rows that mean harm."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core import envfile
from core.settings import DatabaseConfig
from tests.servers import Cluster

TRADES = 1234
# What a browser, a spreadsheet or a terminal could take for something else than text; {url} is a listener.
EVILS = (
    "![x]({url}/image.png)", "[x]({url}/link)", "<img src='{url}/img'>", "<script src='{url}/script'></script>",
    "{url}/plain.png", "data:image/svg+xml,<svg onload=fetch('{url}/svg')>", "javascript:fetch('{url}/js')",
    "$\\href{{{url}/tex}}{{x}}$", "www.{host}/www", ":material/home: :red[red]", "=1+1", "+1+1", "-1+1", "@SUM(A1)",
    "\t=1", "a\nb\r\nc", "\u202egnp.exe", "x' OR '1'='1", '"; DROP TABLE trades; --', "{{{{7*7}}}}", "%s %(x)s", "",
)  # fmt: skip


def fill(cluster: Cluster, database: str) -> None:
    """Trades, round trips of bots, alerts, and a table without a key."""
    cluster.sql(
        "INSERT INTO trades (symbol, action, quantity, price, fee, fee_currency, currency, executed_at, order_id,"
        " status, strategy) SELECT (ARRAY['BTC/USDT', 'ETH/USDT', 'SOL/USDT'])[1 + g % 3],"
        " (ARRAY['BUY', 'SELL'])[1 + g % 2], 1 + g % 7, 100 + g * 0.01, 0.1, 'USDT', 'USDT',"
        " timestamptz '2026-01-01 00:00Z' + g * interval '1 hour',"
        f" 'order-' || g, 'FILLED', 'trend' FROM generate_series(1, {TRADES}) g",
        "INSERT INTO usr_users (id, email) VALUES (1, 'anna@example.com')",
        "INSERT INTO trading_bots (id, user_id, type, name, currency, config, extra_metadata) VALUES"
        " (7, 1, 'paper', 'Swing', 'USDT', '{}', '{}')",
        "INSERT INTO trading_trades (bot_id, trade_type, symbol, interval, entry_time, exit_time, entry_price,"
        " exit_price, size, direction, currency, net_pnl, status, extra_metadata)"
        " SELECT 7, 'paper', 'BTC/USDT', '1h', timestamptz '2026-01-01Z' + g * interval '1 day',"
        " timestamptz '2026-01-02Z' + g * interval '1 day', 100, 101, 1, 'LONG', 'USDT', g - 2,"
        " 'CLOSED', '{}' FROM generate_series(1, 5) g",
        "INSERT INTO alerts (alert_type, severity, message) SELECT 'gap', (ARRAY['INFO', 'WARNING', 'CRITICAL'])"
        "[1 + g % 3], 'Candles are late: ' || g FROM generate_series(1, 6) g",
        "CREATE TABLE keyless (word text, number numeric)",
        "INSERT INTO keyless VALUES ('only', 12345678901234567890.123456789), (NULL, 'NaN')",
        "CREATE TABLE listed (list int[] PRIMARY KEY, word text)",
        "INSERT INTO listed VALUES ('{1,2}', 'with a list for a key')",
        "ANALYZE",
        database=database,
    )


def spoil(cluster: Cluster, database: str, listener: Listener) -> None:
    """Rows, names and comments of a table that mean harm, and values of every awkward kind."""
    evils = [evil.format(url=listener.url, host=listener.host) for evil in EVILS]
    with cluster.connect(database) as connection:
        name = f'"![x]({listener.url}/table.png)"'
        connection.execute(
            f'CREATE TABLE {name} (id int PRIMARY KEY, "![x]({listener.url}/column.png)" text, note text, doc jsonb,'
            " list text[], bytes bytea, huge numeric, at timestamptz, span tstzrange, place inet, large text)"
        )
        connection.execute(f"COMMENT ON TABLE {name} IS '![x]({listener.url}/comment.png)'")
        for number, evil in enumerate(evils):
            connection.execute(
                f"INSERT INTO {name} VALUES (%s, %s, %s, jsonb_build_object('x', %s::text), ARRAY[%s], %s, %s, %s,"
                " tstzrange('-infinity', now()), '10.0.0.1', repeat('0123456789', 100000))",
                (number, evil, evil, evil, evil, evil.encode(), "1" * 200, "infinity" if number % 2 else "now"),
            )
            connection.execute(
                "INSERT INTO alerts (alert_type, severity, message) VALUES (%s, 'INFO', %s)", (evil[:50], evil)
            )


def configure(folder: Path, config: DatabaseConfig) -> None:
    """Write the database into the project's .env.local."""
    (folder / "project").mkdir(parents=True, exist_ok=True)
    envfile.set_values(folder / "project" / ".env.local", {"DATABASE_URL": config.url()})


class Listener:
    """A server that nobody should ever ask: counts who connects."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.url = f"http://{self.host}"
        self.calls = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.calls += 1
                connection.close()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener for the time of a block."""
    listener = Listener()
    try:
        yield listener
    finally:
        listener.close()
