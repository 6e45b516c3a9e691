"""Connection strings: what libpq reads, read by libpq itself; refusals name the part and show no secret."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
from psycopg import pq

from core.errors import TradekeepError
from core.log import remember_secret
from core.settings.config import DatabaseConfig, is_text, option_variables
from core.settings.foreign import NOT_POSTGRESQL, from_jdbc, from_sqlalchemy, from_sqlite, refusal
from core.settings.options import unknown_option
from core.settings.psql import from_command, is_command
from core.settings.uri import cut

LONGEST = 100_000
_URI = re.compile(r"postgres(?:ql)?://")
_DRIVER = re.compile(r"postgres(?:ql)?\+(\w+)://")


def parse_connection(text: str) -> DatabaseConfig:
    """The database that a connection string means; reads no environment and fills in nothing.

    Understood: libpq's URLs and key=value text (as libpq reads them), SQLAlchemy's URLs with a driver, JDBC URLs,
    psql command lines, sqlite URLs. Blanks written into a URL's user, password, host, port or database stay.
    Raises config.connection_string.
    Source: PostgreSQL manual, "Connection Strings".
    """
    if len(text) > LONGEST:
        raise refusal(f"The connection string is longer than {LONGEST:,} characters.")
    if "\0" in text:
        raise refusal("The connection string contains a NUL character, which PostgreSQL cannot take.")
    if not is_text(text):
        raise refusal("The connection string is not valid Unicode text.")
    if text.startswith("jdbc:"):
        return from_jdbc(text, parse_libpq)
    if driver := _DRIVER.match(text):
        return from_sqlalchemy(text, driver[1], parse_libpq)
    if re.match(r"sqlite(\+\w+)?://", text):
        return from_sqlite(text)
    if is_command(text):
        return from_command(text, parse_libpq)
    return parse_libpq(text)


def parse_libpq(text: str) -> DatabaseConfig:
    """A URL or key=value text as libpq itself reads it."""
    try:
        found = pq.Conninfo.parse(_blanks_kept(text).encode())
    except psycopg.OperationalError:
        found = None  # its text can show a piece of the password, so it is not even kept as the cause
    if found is None:
        raise _diagnosed(text)
    given: dict[str, str] = {}
    for option in found:
        if option.val is None:
            continue
        name = option.keyword.decode()
        try:
            given[name] = option.val.decode()
        except UnicodeDecodeError:
            given[name] = "\0"
        if "\0" in given[name]:
            raise refusal(f"The {_word(name)} is not valid UTF-8 text once its %XX are decoded.", name)
    return DatabaseConfig.from_params(given)


def _word(keyword: str) -> str:
    return {"dbname": "database"}.get(keyword, keyword)


def _blanks_kept(text: str) -> str:
    """The text with the blanks before a URL's query as %20.

    libpq 18 drops a blank at the end of a password without a word and refuses one in the middle; libpq 17 and
    older take it as it is, and so do we. Of blanks in the query libpq 18 makes what it can, and so do we.
    """
    if not _URI.match(text) or " " not in text:
        return text
    uri = cut(text)
    return text if uri.problem or " " in uri.query else text[: uri.query_at].replace(" ", "%20") + text[uri.query_at :]


def _diagnosed(text: str) -> TradekeepError:
    """Why libpq refuses the text, found without libpq's own words, which can hold a piece of the password."""
    problems = _uri_problems(text) if _URI.match(text) else _keyword_problems(text)
    message, part = next(problems, ("It is neither a URL nor keywords that PostgreSQL's client library reads.", ""))
    return refusal(message, part)


def _percent_problem(name: str, raw: str) -> str:
    if "%00" in raw:
        return f"The {name} contains %00, a NUL character, which PostgreSQL cannot take."
    if re.search(r"%(?![0-9A-Fa-f]{2})", raw):
        return f'The {name} contains a "%" without two hexadecimal digits after it; a plain % is written %25.'
    return ""


def _uri_problems(text: str) -> Iterator[tuple[str, str]]:
    uri = cut(text)
    for name, raw in uri.parts:
        if name == "password":
            remember_secret(raw)
        if problem := _percent_problem(name, raw):
            yield problem, name
    if uri.problem:
        yield uri.problem, "host"
    for number, pair in enumerate(uri.query.split("&") if uri.query else [], 1):
        where = f'Option {number} after the "?"'
        name, equals, value = pair.partition("=")
        if not equals:
            yield f'{where} has no "=" and a value.', where
        if "=" in value:
            yield f'{where} has two "="; an "=" in a value is written %3D.', where
        if problem := _percent_problem(f"name of option {number}", name) or _percent_problem(
            f"value of option {number}", value
        ):
            yield problem, where
        if " " in name.strip(" ") or " " in value.strip(" "):
            yield f"{where} contains a blank; a blank is written %20.", where
        if name.strip(" ") not in option_variables():
            harmless = _harmless(text[: uri.query_at], uri.query)
            yield unknown_option(name.strip(" "), where, named=harmless), where


def _harmless(before: str, query: str) -> bool:
    """Whether nothing after the "?" can be a piece of the password: what stands before it is whole."""
    return "@" not in query and ("@" in before or ":" not in before.partition("://")[2].partition("/")[0])


def _keyword_problems(text: str) -> Iterator[tuple[str, str]]:
    start = text.lstrip()
    if start.startswith(('"', "'", "`")):
        yield "It begins with a quotation mark; leave out the quotation marks around it.", "start"
    if start != text and (_URI.match(start) or _DRIVER.match(start)):
        yield "There is a blank before the URL; leave it out.", "start"
    if scheme := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", start):
        name = scheme[1].lower()
        known = NOT_POSTGRESQL.get(name)
        shown = f'"{name}://" is {known}' if known else "The part before :// is not the scheme of PostgreSQL"
        yield f"{shown}; a PostgreSQL URL begins with postgresql://.", "scheme"
    at, number = 0, 0
    pattern = re.compile(r"\s*([^\s=]+)(\s*=\s*)?")
    while found := pattern.match(text, at):
        number += 1
        name = found[1]
        if not found[2]:
            yield f'There is no "=" after word {number}.', f"word {number}"
            return
        if name not in option_variables():
            if name.upper().endswith("_URL") or name == "DB_URL":
                yield "It begins with the name of a variable; enter only what stands after the first =.", "start"
            yield unknown_option(name, f"Keyword {number}"), f"keyword {number}"
        at = found.end()
        if text.startswith("'", at):
            closed = re.compile(r"'(?:[^'\\]|\\.)*'", re.S).match(text, at)
            if not closed:
                yield f"The quotation mark of keyword {number} is never closed.", f"keyword {number}"
                return
            at = closed.end()
        else:
            at = re.compile(r"(?:[^\s\\]|\\.)*", re.S).match(text, at).end()  # type: ignore[union-attr]  # may be empty
