"""What people paste: connection strings with what stood around them, and other programs' ways to write a login."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from core.errors import TradekeepError
from core.log import remember_secret
from core.settings.config import DatabaseConfig, is_text, option_variables
from core.settings.foreign import refusal
from core.settings.parse import LONGEST, parse_connection
from core.settings.psql import is_command

_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060\u00ad"))
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019", "<": ">", "\u00ab": "\u00bb"}
_URL = re.compile(r"(?:jdbc:postgresql:|(?:postgres(?:ql)?(?:\+\w+)?|pgsql|postgis|psql|timescale)://)", re.I)
# Before a URL only the name that it is given to may stand: `export DATABASE_URL="`, `url: `, `create_engine('`.
_NAMED = re.compile(r"[\w\s.$:=,({\[\"'`>\u201c\u2018-]*", re.A)
_ALIASES = {"pgsql", "postgis", "psql", "timescale"}
_PLACEHOLDER = re.compile(
    r"[\[<({][\s_-]*(?:your|my|the|db|database)?[\s_-]*(?:password|passwort|pass|secret|pw)[\s_-]*(?:here)?[\])}>]"
    r"|your[_-]?password|\*{3,}|\u2022{3,}",
    re.I,
)
_PAIR = re.compile(
    r"""(?P<key>[A-Za-z][\w.-]*(?:\ [A-Za-z]\w*)?)["']?\s*(?:=>|=|:)\s*
    (?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.|'')*'|`[^`]*`|[^\s,;"'`)}\]]+)""",
    re.X,
)
_NAMES = {
    "host": "host", "hostname": "host", "server": "host", "datasource": "host", "address": "host", "addr": "host",
    "dbhost": "host", "hostaddr": "hostaddr", "port": "port", "dbport": "port", "user": "user", "username": "user",
    "userid": "user", "uid": "user", "dbuser": "user", "dbusername": "user", "login": "user", "password": "password",
    "passwd": "password", "pass": "password", "pwd": "password", "dbpassword": "password", "dbpass": "password",
    "database": "dbname", "databasename": "dbname", "dbname": "dbname", "db": "dbname", "name": "dbname",
    "initialcatalog": "dbname", "dbdatabase": "dbname", "sslmode": "sslmode", "sslrootcert": "sslrootcert",
    "rootcertificate": "sslrootcert", "applicationname": "application_name", "service": "service",
    "searchpath": "search_path", "timeout": "", "url": "", "engine": "", "adapter": "", "encoding": "",
}  # fmt: skip
# What libpq knows, its own default first.
TLS_MODES = ("prefer", "require", "verify-ca", "verify-full", "allow", "disable")
# Npgsql's words for sslmode are libpq's in other letters. Source: Npgsql manual, "Connection string parameters".
_SSL = {"verifyca": "verify-ca", "verifyfull": "verify-full"}
_ADO = re.compile(r"\s*(?:Driver|Host|Server|Data Source|User|Password|Port|Database|UID|DSN)[^=;]*=[^;]*;", re.I)
_ADO_PAIR = re.compile(
    r"""\s*(?P<key>[^=;]+?)\s*=\s*(?P<value>"(?:[^"]|"")*"|'(?:[^']|'')*'|\{[^}]*\}|[^;]*)\s*(?:;|$)"""
)
# After the scheme's colon: a password up to the last @ of the URL.
_RAW_PASSWORD = re.compile(r"(?P<before>//[^:/@?]*:)(?P<password>.+)(?P<after>@[^@]*)", re.S)
LEAST_PARTS = 2


@dataclass(frozen=True)
class Pasted:
    """What a pasted text means, and what somebody should know about how it was read."""

    config: DatabaseConfig
    notes: tuple[str, ...] = ()


def read_pasted(text: str) -> Pasted:
    """The login that a text from a clipboard means.

    A connection string with what stood around it, the lines of an env file, an ADO.NET string, a Rails, Django or
    Python snippet. More lenient than `parse_connection`, which reads exactly what PostgreSQL's programs read. Raises
    config.connection_string; the message shows no secret.
    """
    if len(text) > LONGEST:
        raise refusal(f"The text is longer than {LONGEST:,} characters.")
    if "\0" in text or not is_text(text):
        return Pasted(parse_connection(text))  # which says what is wrong with it
    plain = _unwrapped(text.translate(_INVISIBLE))
    if not plain:
        raise refusal("There is nothing to fill in: the field is empty.")
    found = _read(plain)
    if found.config.misplaced:  # shown in the form's fields, it would be a piece of the password on the page
        raise refusal(
            "Host, port or database cannot be right: often the password has a @ or a / that was not written as %40 "
            "or %2F."
        )
    if found.config.options.get("sslmode", "prefer") not in TLS_MODES:
        raise refusal(f"sslmode has a value that PostgreSQL does not know; it knows {', '.join(TLS_MODES)}.")
    return _without_placeholder(found)


def _read(plain: str) -> Pasted:
    if is_command(plain):
        return Pasted(parse_connection(plain))
    for way in (_url, _ado, _lines):
        found = way(plain)
        if found is not None:
            return found
    try:
        return Pasted(parse_connection(plain))
    except TradekeepError as error:
        found = _parts(plain)
        if found is None:
            raise error from None
        return found


def _unwrapped(text: str) -> str:
    """Without blanks, quotation marks in pairs, and the ; , or \\ of the line that it was copied from."""
    text = text.strip()
    while True:
        before = text
        text = text.rstrip(" \t\r\n;,\\").lstrip()
        if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
            text = text[1:-1].strip()
        if text == before:
            return text


def _url(text: str) -> Pasted | None:
    """A URL with a name before it; None where there is no URL, or more before it than a name."""
    found = _URL.search(text)
    if not found or not _NAMED.fullmatch(text[: found.start()]):
        return None
    before, url = text[: found.start()], text[found.start() :]
    if "=" in before and re.search(r"(?:^|\s)(?:password|user|host|dbname)\s*=", before):
        return None  # key=value text of libpq with a URL in it
    mark = before.rstrip()[-1:]
    closing = _QUOTES.get(mark) if mark in _QUOTES and mark != "<" else None
    if closing and closing in url:
        url = url[: url.index(closing)]
    elif before.strip() or "\n" in url:
        url = url.splitlines()[0]
        url = re.split(r"\s+#|[\"'`]\s*[,)}\]]", url)[0]
    url = _unwrapped(url)
    scheme, colon, rest = url.partition(":")
    lower = scheme.lower()
    scheme = "postgresql" if lower in _ALIASES else lower
    notes: tuple[str, ...] = (
        ("The scheme was read as postgresql://.",) if scheme != lower or lower != url[: len(lower)] else ()
    )
    config = parse_connection(f"{scheme}{colon}{rest}")
    whole = _RAW_PASSWORD.fullmatch(rest) if config.misplaced or config.host.startswith("@") else None
    if whole:
        password = quote(whole["password"], safe="%")  # what is written as %XX already stays
        config = parse_connection(f"{scheme}:{whole['before']}{password}{whole['after']}")
        notes += ("The password was read up to the last @; its special characters were taken as they stand.",)
    return Pasted(config, notes)


def _ado(text: str) -> Pasted | None:
    """`Host=h;Username=u;Password=p;Database=d`, as Npgsql and ODBC write it."""
    if not _ADO.match(text):
        return None
    params: dict[str, str] = {}
    for found in _ADO_PAIR.finditer(text):
        value = found["value"].strip()
        if value[:1] in "\"'{" and len(value) > 1:
            value = value[1:-1].replace(value[0] * 2, value[0])
        _take(params, found["key"], value)
    return _config(params)


def _lines(text: str) -> Pasted | None:
    """Lines of an env file: whole URLs go before PG* and DB_* variables."""
    rows = [line.strip().removeprefix("export ").strip() for line in text.splitlines()]
    pairs = [re.fullmatch(r"([A-Z][A-Z0-9_]*)\s*[=:]\s*(.*)", row) for row in rows if row and not row.startswith("#")]
    if not pairs or not all(pairs):
        return None
    values = {pair[1]: _unwrapped(pair[2]) for pair in pairs if pair}
    for name, value in values.items():
        if name.endswith(("_URL", "_URI", "_DSN", "DSN", "URL")) and _URL.match(value):
            return _url(value)
    variables = {variable: keyword for keyword, variable in option_variables().items() if variable}
    params: dict[str, str] = {}
    for name, value in values.items():
        if name in variables:
            params[variables[name]] = value
        else:
            short = re.sub(r"^(?:POSTGRES(?:QL)?|PG|DB|DATABASE|SQL|RDS|PSQL)_", "", name)
            _take(params, "dbname" if short in ("DB", "DATABASE", "NAME", "DBNAME") else short, value)
    return _config(params)


def _parts(text: str) -> Pasted | None:
    """Keys and values in any of the usual spellings: YAML, JSON, a Python call or dict, PHP, Go's DSN."""
    params: dict[str, str] = {}
    for found in _PAIR.finditer(text):
        value = found["value"]
        if value[:1] in "\"'`":
            value = re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] != "`" else value[1:-1]
        _take(params, found["key"], value)
    return _config(params) if params else None


def _take(params: dict[str, str], key: str, value: str) -> None:
    """Put one pair into libpq's words; keys that say nothing about the place or the login are left out."""
    plain = re.sub(r"[\s_.-]", "", key).lower()
    name = _NAMES.get(plain, "")
    if not name or name in params:
        return
    if name == "sslmode":
        word = value.replace("-", "").replace("_", "").lower()
        value = _SSL.get(word, value.lower())
    if name == "password":
        remember_secret(value)
    if name == "search_path":
        name, value = "options", f"-c search_path={value}"
    params[name] = value


def _config(params: dict[str, str]) -> Pasted | None:
    """The login, where enough of one was found: a host, and one part more."""
    if len(params) < LEAST_PARTS or not {"host", "hostaddr", "dbname", "service", "user"} & params.keys():
        return None
    if "," not in params.get("host", "") and ":" in params.get("host", "") and "port" not in params:
        host, _, port = params["host"].rpartition(":")
        if port.isdecimal() and ":" not in host:
            params = params | {"host": host, "port": port}
    return Pasted(DatabaseConfig.from_params(params))


def _without_placeholder(found: Pasted) -> Pasted:
    """A dashboard shows `[YOUR-PASSWORD]` or stars where the password belongs: that is none."""
    secret = found.config.password.get_secret_value() if found.config.password else ""
    if not secret or not _PLACEHOLDER.fullmatch(secret.strip()):
        return found
    note = "The password in the text is only a placeholder; type the real one."
    return Pasted(found.config.replace(password=None), (*found.notes, note))
