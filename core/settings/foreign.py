"""Connection strings of other programs, put into libpq's words: SQLAlchemy, JDBC, SQLite."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, unquote, unquote_plus

from core.errors import TradekeepError
from core.log import remember_secret
from core.settings.config import DatabaseConfig, is_text, option_variables
from core.settings.options import unknown_option

Reader = Callable[[str], DatabaseConfig]
NOT_POSTGRESQL = {
    "mysql": "MySQL", "mariadb": "MariaDB", "mongodb": "MongoDB", "mongodb+srv": "MongoDB", "redis": "Redis",
    "http": "a web address", "https": "a web address", "mssql": "SQL Server", "oracle": "Oracle", "file": "a file",
    "postgre": "misspelt",
}  # fmt: skip
DRIVERS = {
    "psycopg",
    "psycopg2",
    "psycopg_async",
    "psycopg2cffi",
    "asyncpg",
    "pg8000",
    "aiopg",
    "pygresql",
    "pypostgresql",
}
_SSL_WORDS = {"true": "verify-full", "1": "verify-full", "false": "disable", "0": "disable"}
# Parameters of a driver's own machinery: they say nothing about where the database is or how to reach it.
# Sources: the manuals of pgJDBC ("Connection Parameters"), asyncpg, psycopg2 and SQLAlchemy.
_DRIVER_ONLY = {
    "prepared_statement_cache_size", "prepared_statement_name_func", "async_fallback", "command_timeout",
    "statement_cache_size", "max_cached_statement_lifetime", "max_cacheable_statement_size", "executemany_mode",
    "prepareThreshold", "reWriteBatchedInserts", "stringtype", "binaryTransfer", "binaryTransferEnable",
    "binaryTransferDisable", "defaultRowFetchSize", "preparedStatementCacheQueries", "preparedStatementCacheSizeMiB",
    "socketTimeout", "loggerLevel", "loggerFile", "readOnly", "readOnlyMode", "preferQueryMode", "autosave",
    "logUnclosedConnections", "assumeMinServerVersion", "hostRecheckSeconds", "adaptiveFetch", "adaptiveFetchMaximum",
    "adaptiveFetchMinimum", "allowEncodingChanges", "authenticationPluginClassName", "cancelSignalTimeout",
    "cleanupSavepoints", "databaseMetadataCacheFields", "databaseMetadataCacheFieldsMiB", "disableColumnSanitiser",
    "escapeSyntaxCallMode", "groupStartupParameters", "gssLib", "hideUnprivilegedObjects", "jaasApplicationName",
    "jaasLogin", "localSocketAddress", "logServerErrorDetail", "maxResultBuffer", "maxSendBufferSize",
    "preparedStatementCacheSize", "protocolVersion", "quoteReturningIdentifiers", "receiveBufferSize",
    "sendBufferSize", "socketFactory", "socketFactoryArg", "sspiServiceClass", "sslhostnameverifier",
    "sslpasswordcallback", "sslResponseTimeout", "gssResponseTimeout", "tcpNoDelay", "unknownLength", "useSpnego",
    "xmlFactoryFactory", "compatible", "sslfactory", "sslfactoryarg", "gssUseDefaultCreds", "gssDefaultCreds",
}  # fmt: skip
_JDBC = {
    "ApplicationName": "application_name", "connectTimeout": "connect_timeout", "loginTimeout": "connect_timeout",
    "channelBinding": "channel_binding", "gssEncMode": "gssencmode", "sslNegotiation": "sslnegotiation",
    "PGHOST": "host", "PGPORT": "port", "PGDBNAME": "dbname", "kerberosServerName": "krbsrvname",
    "requireAuth": "require_auth",
}  # fmt: skip
_JDBC_TARGET = {
    "primary": "primary", "master": "primary", "secondary": "standby", "slave": "standby",
    "preferSecondary": "prefer-standby", "preferSlave": "prefer-standby",
}  # fmt: skip
# How SQLAlchemy cuts a URL. Source: sqlalchemy.engine.url, _parse_url.
_SQLALCHEMY = re.compile(
    r"(?P<name>[\w\+]+)://(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:(?:\[(?P<ipv6>[^/\?]+)\]|(?P<host>[^/:\?]+))?(?::(?P<port>[^/\?]*))?)?"
    r"(?:/(?P<database>[^\?]*))?(?:\?(?P<query>.*))?",
    re.S,
)


def refusal(message: str, part: str = "") -> TradekeepError:
    """The error for a connection string that cannot be used; the message shows nothing of the string itself."""
    return TradekeepError("config.connection_string", message, part=part)


def _pairs(query: str) -> list[tuple[str, str]]:
    return [(name, value) for pair in query.split("&") if pair for name, _, value in [pair.partition("=")]]


def _rejoined(head: str, pairs: list[tuple[str, str]]) -> str:
    """The URL with its (still encoded) parameters; without them there is no "?"."""
    return head + ("?" + "&".join(f"{name}={value}" for name, value in pairs) if pairs else "")


def _decoded(name: str, raw: str, decode: Callable[..., str] = unquote) -> str:
    """The text with its %XX decoded; a % without two digits stays, as SQLAlchemy and pgJDBC's users write it."""
    found = decode(raw, errors="surrogateescape")
    if "\0" in found:
        raise refusal(f"The {name} contains %00, a NUL character, which PostgreSQL cannot take.", name)
    if not is_text(found):
        raise refusal(f"The {name} is not valid UTF-8 text once its %XX are decoded.", name)
    return found


def from_sqlalchemy(text: str, driver: str, read: Reader) -> DatabaseConfig:
    """`postgresql+driver://...`, cut as SQLAlchemy cuts it; several hosts as host=a:1&host=b:2, or as libpq has them.

    ssl is asyncpg's word for sslmode. Raises config.connection_string.
    """
    if driver not in DRIVERS:
        raise refusal("The driver after the + in the scheme is not one for PostgreSQL.", "driver")
    found = _SQLALCHEMY.fullmatch(text)
    if not found or ((found["port"] or "").strip() and "," in (found["port"] or "")):
        return read("postgresql" + text[text.index("://") :])  # host:1,host:2: libpq's way, which SQLAlchemy has not
    if found["password"]:
        remember_secret(found["password"])
        remember_secret(unquote(found["password"]))
    params = {
        keyword: _decoded(name, raw)
        for keyword, name, raw in (
            ("user", "user", found["user"]),
            ("password", "password", found["password"]),
            ("host", "host", found["ipv6"] or found["host"]),
            ("port", "port", found["port"]),
            ("dbname", "database", found["database"]),
        )
        if raw
    }
    return DatabaseConfig.from_params(params | _query(found["query"] or "", text))


def _query(query: str, text: str) -> dict[str, str]:
    """The parameters after the ? of a SQLAlchemy URL, in libpq's words."""
    hosts: list[str] = []
    ports: list[str] = []
    params: dict[str, str] = {}
    for number, (raw_name, raw) in enumerate(_pairs(query), 1):
        name, value = unquote_plus(raw_name), _decoded(f"value of option {number}", raw, unquote_plus)
        if name == "ssl":
            params["sslmode"] = _SSL_WORDS.get(value.lower(), value)
        elif name == "host":
            host, port = value.split(":") if value.count(":") == 1 and not value.startswith("/") else (value, "")
            hosts.append(host)
            ports.append(port)
        elif name in ("unix_sock", "timeout"):  # pg8000's and asyncpg's words
            params |= (
                {"host": value.rpartition("/.s.PGSQL.")[0] or value}
                if name == "unix_sock"
                else {"connect_timeout": value}
            )
        elif name in option_variables():
            params[name] = value
        elif name not in _DRIVER_ONLY:
            before, where = text.partition("?")[0], f'Option {number} after the "?"'
            raise refusal(unknown_option(name, where, named="@" in before and "@" not in query), where)
    if hosts:
        params["host"] = ",".join(hosts)
        params |= {"port": ",".join(ports)} if any(ports) else {}
    return params


def from_jdbc(text: str, read: Reader) -> DatabaseConfig:
    """`jdbc:postgresql://host:port/database?user=...&password=...`; a + in a parameter is a blank.

    Source: pgJDBC manual, "Connecting to the Database" (ssl=true means sslmode verify-full there).
    """
    found = re.match(r"jdbc:postgresql:(?://)?([^?]*)(?:\?(.*))?$", text, re.S)
    if not found:
        raise refusal("The part after jdbc: is not postgresql.", "scheme")
    place = found[1] if text.startswith("jdbc:postgresql://") else "/" + found[1].lstrip("/")
    pairs: list[tuple[str, str]] = []
    options: list[str] = []
    for name, raw in _pairs(found[2] or ""):
        value = quote(unquote_plus(raw), safe="") if not re.search(r"%(?![0-9A-Fa-f]{2})", raw) else raw
        if name == "ssl":
            pairs.insert(0, ("sslmode", _SSL_WORDS.get(raw.lower() or "true", "verify-full")))
        elif name == "sslfactory":
            if raw.endswith("NonValidatingFactory"):
                pairs.insert(1, ("sslmode", "require"))
        elif name == "options":
            options.append(unquote_plus(raw))
        elif name == "currentSchema":
            options.append(f"-c search_path={unquote_plus(raw)}")
        elif name == "tcpKeepAlive":
            pairs.append(("keepalives", "1" if raw.lower() == "true" else "0"))
        elif name == "targetServerType":
            pairs.append(("target_session_attrs", _JDBC_TARGET.get(raw, "any")))
        elif name == "loadBalanceHosts":
            pairs.append(("load_balance_hosts", "random" if raw.lower() == "true" else "disable"))
        elif name not in _DRIVER_ONLY:
            pairs.append((_JDBC.get(name, name), value))
    if options:
        pairs.append(("options", quote(" ".join(options), safe="")))
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
