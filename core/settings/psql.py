"""psql command lines as connection strings."""

from __future__ import annotations

import re
import shlex

from core.settings.config import DatabaseConfig, option_variables
from core.settings.foreign import Reader, refusal

_WITH_VALUE = {"h": "host", "host": "host", "p": "port", "port": "port", "U": "user", "username": "user",
               "d": "dbname", "dbname": "dbname"}  # fmt: skip
_IGNORED_WITH_VALUE = set("cfvoLPFRT") | {
    "command", "file", "set", "variable", "output", "log-file", "pset", "field-separator", "record-separator",
    "table-attr",
}  # fmt: skip
_IGNORED = set("lVXabeEnqsSAHtxz0wW1?") | {
    "list", "version", "no-psqlrc", "single-transaction", "echo-all", "echo-errors", "echo-queries", "echo-hidden",
    "no-readline", "quiet", "single-step", "single-line", "no-align", "csv", "html", "tuples-only", "expanded",
    "field-separator-zero", "record-separator-zero", "no-password", "password", "help",
}  # fmt: skip


def is_command(text: str) -> bool:
    """Whether the text calls psql: perhaps after variables (upper case; libpq's keywords are lower case) or sudo."""
    start = re.match(r"\s*(?:\$\s+)?(?:[A-Z][A-Z0-9_]*=|sudo\s|env\s|export\s|psql(?:\.exe)?(?:\s|$))", text)
    return bool(start and re.search(r"(?:^|\s)psql(?:\.exe)?(?:\s|$)", text))


def from_command(text: str, read: Reader) -> DatabaseConfig:
    """A psql command line: variables before it, -h -p -U -d, a database (or a whole connection string) and a user.

    As in psql, a connection string goes before the single options.
    Source: PostgreSQL manual, psql, "Options" and "Connecting to a Database".
    """
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    program = next((n for n, word in enumerate(words) if word in ("psql", "psql.exe")), None)
    if program is None:
        raise refusal("A quotation mark in the command line is never closed.", "quotation mark")
    variables = {variable: keyword for keyword, variable in option_variables().items() if variable}
    given: dict[str, str] = {}
    for word in words[:program]:
        name, equals, value = word.partition("=")
        if equals and name in variables:
            given[variables[name]] = value
    if words[0] == "sudo" and "-u" in words[: program - 1]:
        given.setdefault("user", words[words.index("-u") + 1])
    given |= _flags(words[program + 1 :])
    database = given.pop("dbname", "")
    whole = "=" in database or re.match(r"postgres(ql)?://", database)
    if not whole:
        given |= {"dbname": database} if database else {}
        return DatabaseConfig.from_params(given)
    inner = read(database).libpq_params()
    return DatabaseConfig.from_params(given | inner)


def _flags(words: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    plain: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word == "--":
            plain += queue
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if name in _WITH_VALUE:
                given[_WITH_VALUE[name]] = value if equals else _next(queue, name)
            elif name in _IGNORED_WITH_VALUE:
                value = value if equals else _next(queue, name)
            elif name not in _IGNORED:
                raise refusal("The command line has an option that psql does not know.", "options")
        elif word.startswith("-") and len(word) > 1:
            _short(word[1:], queue, given)
        else:
            plain.append(word)
    for name, value in zip(("dbname", "user"), plain, strict=False):
        if name in given and name == "dbname":
            given.setdefault("user", value)
        else:
            given[name] = value
    return given


def _short(letters: str, queue: list[str], given: dict[str, str]) -> None:
    """One word of short options, such as -Atqh localhost or -p5433."""
    for at, letter in enumerate(letters):
        if letter in _WITH_VALUE or letter in _IGNORED_WITH_VALUE:
            value = letters[at + 1 :] or _next(queue, letter)
            if letter in _WITH_VALUE:
                given[_WITH_VALUE[letter]] = value
            return
        if letter not in _IGNORED:
            raise refusal("The command line has an option that psql does not know.", "options")


def _next(queue: list[str], name: str) -> str:
    if not queue:
        raise refusal(f"The option -{name} of psql has no value after it.", name)
    return queue.pop(0)
