"""Connection strings of other programs, put into libpq's words: SQLAlchemy, JDBC, SQLite."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, unquote, unquote_plus

from core.errors import TradekeepError
from core.settings.config import DatabaseConfig, is_text
from core.settings.uri import cut

Reader = Callable[[str], DatabaseConfig]
NOT_POSTGRESQL = {
    "mysql": "MySQL", "mariadb": "MariaDB", "mongodb": "MongoDB", "mongodb+srv": "MongoDB", "redis": "Redis",
    "http": "a web address", "https": "a web address", "mssql": "SQL Server", "oracle": "Oracle", "file": "a file",
    "postgre": "misspelt",
}  # fmt: skip
DRIVERS = {"psycopg", "psycopg2", "psycopg_async", "psycopg2cffi", "asyncpg", "pg8000", "aiopg", "pygresql"}
_SSL_WORDS = {"true": "verify-full", "1": "verify-full", "false": "disable", "0": "disable"}
# Parameters of a driver's own machinery: they say nothing about where the database is or how to reach it.
_DRIVER_ONLY = {
    "prepared_statement_cache_size", "prepared_statement_name_func", "async_fallback", "command_timeout",
    "statement_cache_size", "max_cached_statement_lifetime", "prepareThreshold", "reWriteBatchedInserts",
    "stringtype", "binaryTransfer", "defaultRowFetchSize", "preparedStatementCacheQueries", "socketTimeout",
    "loggerLevel", "readOnly", "preferQueryMode", "autosave", "logUnclosedConnections", "assumeMinServerVersion",
}  # fmt: skip
_JDBC = {
    "ApplicationName": "application_name", "connectTimeout": "connect_timeout", "loginTimeout": "connect_timeout",
    "channelBinding": "channel_binding", "gssEncMode": "gssencmode", "sslNegotiation": "sslnegotiation",
    "hostRecheckSeconds": "", "PGHOST": "host", "PGPORT": "port", "PGDBNAME": "dbname",
}  # fmt: skip
_JDBC_TARGET = {"primary": "primary", "master": "primary", "secondary": "standby", "preferSecondary": "prefer-standby"}


def refusal(message: str, part: str = "") -> TradekeepError:
    """The error for a connection string that cannot be used; the message shows nothing of the string itself."""
    return TradekeepError("config.connection_string", message, part=part)


def _pairs(query: str) -> list[tuple[str, str]]:
    return [(name, value) for pair in query.split("&") if pair for name, _, value in [pair.partition("=")]]


def _rejoined(head: str, pairs: list[tuple[str, str]]) -> str:
    """The URL with its (still encoded) parameters; without them there is no "?"."""
    return head + ("?" + "&".join(f"{name}={value}" for name, value in pairs) if pairs else "")


def from_sqlalchemy(text: str, driver: str, read: Reader) -> DatabaseConfig:
    """`postgresql+driver://...`: host may be repeated as host=a:1&host=b:2; ssl is asyncpg's word for sslmode."""
    if driver not in DRIVERS:
        raise refusal("The driver after the + in the scheme is not one for PostgreSQL.", "driver")
    uri = cut(text)
    hosts: list[str] = []
    ports: list[str] = []
    pairs: list[tuple[str, str]] = []
    for name, value in _pairs(uri.query):
        if name == "ssl":
            pairs.append(("sslmode", _SSL_WORDS.get(value.lower(), value)))
        elif name == "host":
            host, _, port = (
                unquote(value).partition(":") if unquote(value).count(":") == 1 else (unquote(value), "", "")
            )
            hosts.append(host)
            ports.append(port)
        elif name not in _DRIVER_ONLY:
            pairs.append((name, value))
    if hosts:
        pairs.append(("host", quote(",".join(hosts), safe="")))
        if any(ports):
            pairs.append(("port", quote(",".join(ports), safe="")))
    return read(_rejoined("postgresql" + text[text.index("://") : uri.query_at], pairs))


def from_jdbc(text: str, read: Reader) -> DatabaseConfig:
    """`jdbc:postgresql://host:port/database?user=...&password=...`; a + in a parameter is a blank.

    Source: pgJDBC manual, "Connecting to the Database" (ssl=true means sslmode verify-full there).
    """
    found = re.match(r"jdbc:postgresql:(?://)?([^?]*)(?:\?(.*))?$", text, re.S)
    if not found:
        raise refusal("The part after jdbc: is not postgresql.", "scheme")
    place = found[1] if text.startswith("jdbc:postgresql://") else "/" + found[1].lstrip("/")
    pairs: list[tuple[str, str]] = []
    for name, raw in _pairs(found[2] or ""):
        value = quote(unquote_plus(raw), safe="") if not re.search(r"%(?![0-9A-Fa-f]{2})", raw) else raw
        if name == "ssl":
            pairs.insert(0, ("sslmode", _SSL_WORDS.get(raw.lower() or "true", "verify-full")))
        elif name == "currentSchema":
            pairs.append(("options", quote(f"-c search_path={unquote_plus(raw)}", safe="")))
        elif name == "tcpKeepAlive":
            pairs.append(("keepalives", "1" if raw.lower() == "true" else "0"))
        elif name == "targetServerType":
            pairs.append(("target_session_attrs", _JDBC_TARGET.get(raw, "any")))
        elif name == "loadBalanceHosts":
            pairs.append(("load_balance_hosts", "random" if raw.lower() == "true" else "disable"))
        elif name not in _DRIVER_ONLY and _JDBC.get(name, name):
            pairs.append((_JDBC.get(name, name), value))
    return read(_rejoined(f"postgresql://{place}", pairs))


def from_sqlite(text: str) -> DatabaseConfig:
    """`sqlite:///relative`, `sqlite:////absolute`, `sqlite://` (in memory)."""
    rest = text.partition("://")[2]
    path, _, query = rest.partition("?")
    if path and not path.startswith("/"):
        raise refusal("A SQLite URL has no host: write sqlite:///file or sqlite:////folder/file.", "host")
    if query:
        raise refusal("Options after the ? of a SQLite URL are not supported.", "options")
    name = unquote(path[1:], errors="surrogateescape")
    if not is_text(name):
        raise refusal("The path is not valid UTF-8 text once its %XX are decoded.", "path")
    return DatabaseConfig(backend="sqlite", database="" if name == ":memory:" else name)
