"""Where a database is and how to sign in to it."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Self
from urllib.parse import quote

from psycopg import pq
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator, model_validator

from core.errors import TradekeepError
from core.log import MASK, remember_secret

SECRET_OPTIONS = frozenset({"sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})
_FIELDS = {"host": "host", "port": "port_text", "dbname": "database", "user": "user", "password": "password"}
# libpq's variables that say where the database is and who signs in; all others say how to connect.
PLACE_VARIABLES = (
    "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE",
)  # fmt: skip
DEFAULT_PORT = "5432"
_FINGERPRINT_KEY = os.urandom(32)


@cache
def option_variables() -> dict[str, str | None]:
    """libpq's keywords and the environment variable of each (None where it has none), from libpq itself."""
    return {
        option.keyword.decode(): option.envvar.decode() if option.envvar else None
        for option in pq.Conninfo.get_defaults()
    }


def is_text(value: str) -> bool:
    """Whether the text can be written as UTF-8: a lone half of a surrogate pair cannot.

    Asked, not tried where it is refused: the exception holds the whole text, and would hang on the refusal.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def loopback(host: str) -> bool:
    """Whether a host's name or address means this machine over TCP; none is looked up."""
    if host.lower() in ("localhost", "localhost.", "ip6-localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def this_machine(host: str) -> bool:
    """Whether one host of a configuration is this machine: by loopback, by a socket, or as libpq's default."""
    return not host or host.startswith(("/", "@")) or loopback(host)


def _encoded(text: str) -> str:
    """The text with every byte outside A-Za-z0-9-._ as %XX: what every reader of env files and URLs agrees on."""
    return quote(text, safe="-._").replace("~", "%7E")


class DatabaseConfig(BaseModel):
    """One database and one role, exactly as given: nothing is filled in from defaults or the environment.

    host: a name, an address, a socket's folder, or several of them with commas. port: a number, None when not given
    or when there are several (then port_text). options: every other keyword of libpq. An empty text means "not
    given"; only the password tells None (not given) from "" (given, and empty).
    For SQLite, database is the path, or "" for one in memory.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = ""
    port: int | None = None
    port_text: str = ""
    database: str = ""
    user: str = ""
    password: SecretStr | None = None
    options: dict[str, str] = {}
    backend: Literal["postgresql", "sqlite"] = "postgresql"

    @model_validator(mode="before")
    @classmethod
    def _one_port(cls, data: Any) -> Any:
        """port and port_text always say the same."""
        if not isinstance(data, dict):
            return data
        port, text = data.get("port"), data.get("port_text")
        if text:
            return data | {"port": int(text) if re.fullmatch(r"-?[0-9]{1,9}", str(text)) else None}
        return data | {"port_text": "" if port is None else str(port)}

    @field_validator("host", "database", "user", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return "" if value is None else value

    @model_validator(mode="after")
    def _writable(self) -> Self:
        for name, value in self._texts():
            if "\0" in value:
                raise TradekeepError(
                    "config.connection_string",
                    f"The {name} contains a NUL character, which PostgreSQL cannot take.",
                    part=name,
                )
            if not is_text(value):
                raise TradekeepError("config.connection_string", f"The {name} is not valid Unicode text.", part=name)
        if self.backend == "postgresql" and (unknown := sorted(set(self.options) - set(option_variables()))):
            raise TradekeepError(
                "config.connection_string", f'"{unknown[0]}" is not an option of PostgreSQL.', part=unknown[0]
            )
        if doubled := sorted(set(self.options) & set(_FIELDS)):
            raise TradekeepError(
                "config.connection_string", f'"{doubled[0]}" belongs into its own field, not into options.'
            )
        names = set() if self.misplaced else {self.user, self.database, self.host}
        for secret in self._secrets():
            if secret not in names:  # a role's name is no secret where it is its password too; masked, it would be told
                remember_secret(secret)
        return self

    def _texts(self) -> list[tuple[str, str]]:
        fields = [("host", self.host), ("port", self.port_text), ("database", self.database), ("user", self.user)]
        secret = [("password", self.password.get_secret_value())] if self.password else []
        return fields + secret + list(self.options.items())

    def _secrets(self) -> list[str]:
        given = [self.password.get_secret_value()] if self.password else []
        # A raw @ in a password makes libpq read the password's tail as part of the host; a raw / puts its head into
        # the port (after a raw @ into the host) and its tail into the database.
        pieces = [self.host.rpartition("@")[0], self.database.rpartition("@")[0], self.port_text]
        if given and "@" in self.database:
            pieces.append(self.host)
        return (
            given
            + (pieces if self.misplaced else [])
            + [value for key, value in self.options.items() if key in SECRET_OPTIONS]
        )

    def __hash__(self) -> int:
        return hash((self.backend, *sorted(self._texts())))

    def __repr_args__(self) -> Any:
        yield None, self.masked_url()

    def __str__(self) -> str:
        return self.masked_url()

    @property
    def misplaced(self) -> bool:
        """Whether host, port or database seem to hold pieces of a password that has a raw @ or / in it."""
        odd = any(not port.strip().isdecimal() or len(port) > 5 for port in self.port_text.split(",") if port)
        return self.backend == "postgresql" and (odd or "@" in self.database or "@" in self.host[1:])

    @property
    def label(self) -> str:
        """For people: `user@host:port/database`, with only the parts that were given."""
        if self.backend == "sqlite":
            return f"SQLite {self.database or 'in memory'}"
        shown = self._shown()
        host = shown.host or shown.options.get("hostaddr", "")
        place = f"{host or 'localhost'}:{shown.port_text}" if shown.port_text else host or "local socket"
        return f"{shown.user}@{place}/{shown.database or shown.user}".removeprefix("@")

    def _shown(self) -> DatabaseConfig:
        """A copy with `***` for every secret and for what may be a piece of one."""
        hidden: dict[str, Any] = {}
        if self.password and self.password.get_secret_value():
            hidden["password"] = SecretStr(MASK)
        if self.misplaced:
            for name in ("host", "database"):
                head, at, tail = getattr(self, name).rpartition("@")
                hidden[name] = f"{MASK}@{tail}" if head else at + tail
            hidden["port_text"] = MASK if self.port_text else ""
            if "@" in self.database:
                hidden["host"] = MASK
        hidden["options"] = {key: MASK if key in SECRET_OPTIONS else value for key, value in self.options.items()}
        return self.model_copy(update=hidden)

    @classmethod
    def from_params(cls, params: Mapping[str, str]) -> DatabaseConfig:
        """The config for libpq's keywords; the reverse of `libpq_params`."""
        fields = {_FIELDS[key]: value for key, value in params.items() if key in _FIELDS}
        return cls.model_validate(fields | {"options": {k: v for k, v in params.items() if k not in _FIELDS}})

    def libpq_params(self) -> dict[str, str]:
        """libpq's keywords (dbname, host ...) as given, the password in clear; empty for SQLite."""
        if self.backend == "sqlite":
            return {}
        given = {"host": self.host, "port": self.port_text, "dbname": self.database, "user": self.user}
        params = {key: value for key, value in given.items() if value}
        if self.password is not None:
            params["password"] = self.password.get_secret_value()
        return params | self.options

    def _in_url(self) -> list[str]:
        """The options that only the URL can carry, or the one that it carries best: sslmode first.

        What says where the database is belongs to its URL: a variable of its own could stay behind an old one.
        """
        variables = option_variables()
        homeless = [key for key in self.options if variables[key] in (None, *PLACE_VARIABLES)]
        if homeless or self._empty_password():
            return homeless
        return [key for key in ("sslmode", "options", *sorted(self.options)) if key in self.options][:1]

    def _empty_password(self) -> bool:
        return self.password is not None and not self.password.get_secret_value()

    def url(self, driver: str | None = None) -> str:
        """The URL with the password in clear.

        Without a driver: libpq's form, which libpq, psycopg, SQLAlchemy and every reader of env files read alike;
        it carries one option at most (more only where libpq has no environment variable for them), the others are
        in `extra_env`. With a driver ("psycopg", "asyncpg"): SQLAlchemy's form with all options.
        Source: PostgreSQL manual, "Connection URIs".
        """
        if self.backend == "sqlite":
            path = quote(self.database, safe="/-._~:\\ ") if self.database else ""
            dialect = f"sqlite+{driver}" if driver in ("aiosqlite", "pysqlite") else "sqlite"
            return f"{dialect}:///{path}" if path else f"{dialect}://"
        if driver:
            return self._sqlalchemy_url(driver)
        query = [(key, self.options[key]) for key in self._in_url()]
        if self._empty_password():
            query.insert(0, ("password", ""))
        return self._assembled("postgresql", self._places(), query)

    def _login(self) -> str:
        secret = self.password.get_secret_value() if self.password else ""
        login = _encoded(self.user) + (f":{_encoded(secret)}" if secret else "")
        return f"{login}@" if login else ""

    def _assembled(self, scheme: str, place: str, query: list[tuple[str, str]]) -> str:
        tail = "&".join(f"{key}={_encoded(value)}" for key, value in query)
        path = f"/{_encoded(self.database)}" if self.database or query else ""
        return f"{scheme}://{self._login()}{place}{path}{f'?{tail}' if tail else ''}"

    def _places(self) -> str:
        """host:port, or several with commas, as a URI has them."""
        hosts, ports = self.host.split(","), self.port_text.split(",")
        if len(hosts) == len(ports) > 1:
            return ",".join(_place(host, port) for host, port in zip(hosts, ports, strict=True))
        # A comma written as %2C keeps "one port for all hosts" and "no port at all" as they were given.
        return _place(self.host, self.port_text)

    def _sqlalchemy_url(self, driver: str) -> str:
        options = dict(self.options)
        if driver == "asyncpg" and "sslmode" in options:
            options["ssl"] = options.pop("sslmode")
        query = list(options.items())
        # SQLAlchemy decodes no host: whatever is no plain name or address goes into the query.
        if (_IPV6.fullmatch(self.host) or re.fullmatch(r"[\w.-]*", self.host)) and re.fullmatch(
            "[0-9]*", self.port_text
        ):
            place = _place(self.host, self.port_text, raw=True)
        else:
            place = ""
            query = [(key, text) for key, text in (("host", self.host), ("port", self.port_text)) if text] + query
        if self._empty_password():
            query.append(("password", ""))
        return self._assembled(f"postgresql+{driver}", place, query)

    def extra_env(self) -> dict[str, str]:
        """The options that `url` leaves out, as libpq's environment variables (PGSSLROOTCERT ...)."""
        if self.backend == "sqlite":
            return {}
        inside = set(self._in_url())
        variables = option_variables()
        return {name: value for key, value in self.options.items() if key not in inside and (name := variables[key])}

    def masked_url(self) -> str:
        """The URL with `***` in place of every secret, for people and logs."""
        return self._shown().url().replace("%2A%2A%2A", MASK).replace(f"{MASK}%40", f"{MASK}@")

    def fingerprint(self) -> str:
        """A key that is the same for the same values, the password included; it shows none of them.

        It is keyed with a random number of this process, so that nobody can try passwords against it; do not
        store it.
        """
        values = json.dumps([self.backend, self.libpq_params(), self.database], sort_keys=True).encode()
        return hashlib.blake2b(values, key=_FINGERPRINT_KEY, digest_size=16).hexdigest()

    def same_login(self, other: DatabaseConfig | None) -> bool:
        """Whether both mean the same role of the same database by the same way; 5432 is the port where none is given.

        localhost, 127.0.0.1 and ::1 are different here: the server's rules may treat them differently.
        """
        return other is not None and self._login_key() == other._login_key()

    def _login_key(self) -> tuple[object, ...]:
        fields = [getattr(self, name) for name in ("backend", "host", "database", "user", "password")]
        places = [self.options.get(name, "") for name in ("hostaddr", "service")]
        return (*fields, *places, self._port())

    def same_server(self, other: DatabaseConfig | None) -> bool:
        """Whether both mean the same server: every name of loopback is one host, 5432 the port where none is given."""
        return other is not None and self._server_key() == other._server_key()

    def _server_key(self) -> tuple[object, ...]:
        if self.backend == "sqlite":
            return (self.backend, self.database)
        hosts = (self.options.get("hostaddr") or self.host).split(",")
        ports = self._port().split(",")
        ports = ports * len(hosts) if len(ports) == 1 else [port or DEFAULT_PORT for port in ports]
        named = ["localhost" if loopback(host) else host.lower() for host in hosts]
        return (self.backend, tuple(zip(named, ports, strict=False)), self.options.get("service", ""))

    def _port(self) -> str:
        return self.port_text or ("" if self.backend == "sqlite" or "service" in self.options else DEFAULT_PORT)

    def replace(self, **changes: Any) -> DatabaseConfig:
        """A copy with some fields changed, checked like a new one."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        if "port" in changes and "port_text" not in changes:
            values["port_text"] = ""
        return DatabaseConfig(**(values | changes))


_IPV6 = re.compile(r"(?=.*:.*:)[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?")


def _place(host: str, port: str, *, raw: bool = False) -> str:
    """One host with its port; raw: as SQLAlchemy wants it, which does not decode a host."""
    if _IPV6.fullmatch(host):
        name = f"[{host if raw else host.replace('%', '%25')}]"
    else:
        name = host if raw else _encoded(host)
    return f"{name}:{_encoded(port)}" if port else name
