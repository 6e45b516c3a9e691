"""psql command lines as connection strings."""

from __future__ import annotations

import re
import shlex

from core.log import remember_secret
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
# What may stand before psql: prompts, variables, other programs that run it. libpq's own keywords are lower case.
_PROGRAM = r"(?:[^\s'\"=]*[/\\])?psql(?:\.exe)?"
_BEFORE = re.compile(
    rf"\s*(?:[$#>]\s+|PS [^>\n]*>\s*)?(?:[A-Z][A-Z0-9_]*=|\$env:|set\s|sudo\s|doas\s|env\s|export\s|su\s|runuser\s"
    rf"|docker\s|podman\s|docker-compose\s|kubectl\s|oc\s|time\s|&\s|[\"']?[A-Za-z]:\\|{_PROGRAM}[\"']?(?:\s|$))"
)
_CALL = re.compile(rf"(?:^|[\s\"'&;])(?:[\"'][^\"'\n]*[/\\]psql(?:\.exe)?[\"']|{_PROGRAM})(?:[\"'\s]|$)")
_ACCOUNT = re.compile(
    r"(?:sudo|doas|runuser)\s[^|;&]*?(?:-[A-Za-z]*u\s*|--user[= ])(?P<name>[\w.-]+)|su\s+(?:-l?\s+)?(?P<su>[\w.-]+)"
)
_VARIABLE = re.compile(r"(?:\$env:)?([A-Z][A-Z0-9_]*)=(.*)", re.S)
_ENDS = ("<", ">", "|", ";", "&&", "||", "2>", "<<", "&")


def is_command(text: str) -> bool:
    """Whether the text calls psql: perhaps after a prompt, variables (upper case), sudo, docker exec and the like."""
    if re.match(r"\s*[A-Za-z][\w+.-]*://", text):
        return False
    return bool(_BEFORE.match(text) and _CALL.search(text))


def from_command(text: str, read: Reader) -> DatabaseConfig:
    """A psql command line: variables before it, -h -p -U -d, a database (or a whole connection string) and a user.

    As in psql, a connection string goes before the single options. Quotation marks as a POSIX shell has them; those
    of PowerShell and cmd where the text is one of theirs. A container's name says nothing about the host.
    Source: PostgreSQL manual, psql, "Options" and "Connecting to a Database".
    """
    words = _words(text)
    program = next((n for n, word in enumerate(words) if re.fullmatch(rf"(?:.*[/\\])?{_PROGRAM}", word, re.S)), None)
    if program is None:
        raise refusal("There is no psql in the command line that could be read.", "command")
    variables = {variable: keyword for keyword, variable in option_variables().items() if variable}
    given: dict[str, str] = {}
    for word in words[:program]:
        found = _VARIABLE.fullmatch(word)
        if found and found[1] in variables:
            given[variables[found[1]]] = found[2]
    if account := _ACCOUNT.search(" ".join(words[:program])):
        given.setdefault("user", account["name"] or account["su"])
    if given.get("password"):
        remember_secret(given["password"])
    given |= _flags(words[program + 1 :])
    database = given.pop("dbname", "")
    if re.fullmatch(r"\$\{?\w+\}?|%\w+%|\$env:\w+", database):
        raise refusal("The database is a variable of the shell; enter what stands in it.", "database")
    whole = "=" in database or re.match(r"postgres(ql)?://", database)
    if not whole:
        given |= {"dbname": database} if database else {}
        return DatabaseConfig.from_params(given)
    inner = read(database).libpq_params()
    return DatabaseConfig.from_params(given | inner)


def _words(text: str) -> list[str]:
    """The words of the command line, up to where the shell would begin another command."""
    windows = re.match(r"\s*(?:PS [^>\n]*>|\$env:|set\s|&\s|[\"']?[A-Za-z]:\\)", text) is not None
    if windows:
        text = re.sub(r"\$env:(\w+)\s*=\s*", r"\1=", text)
        text = re.sub(r"(^|\s)set\s+(?:\"(\w+=[^\"]*)\"|(\w+)=([^&\n]*?))\s*(?:&&?|\n)", _set, text)
    joined = re.sub(r"[`^]\s*\n" if windows else r"\\\r?\n", " ", text)
    lexer = shlex.shlex(joined, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    lexer.escape = "" if windows else "\\"
    try:
        words = list(lexer)
    except ValueError:
        raise refusal("A quotation mark in the command line is never closed.", "quotation mark") from None
    # `su - postgres -c "psql -p 5433"` and `sh -c '...'`: the command is one word.
    inner = next((word for word in words if re.match(rf"{_PROGRAM}\s", word)), None)
    if inner is not None and not any(re.fullmatch(rf"(?:.*[/\\])?{_PROGRAM}", word, re.S) for word in words):
        at = words.index(inner)
        words = [*words[:at], *_words(inner), *words[at + 1 :]]
    return _until_end(words)


def _set(found: re.Match[str]) -> str:
    """cmd's `set NAME=VALUE &&` as a variable before the command."""
    name, _, value = (found[2] or f"{found[3]}={found[4]}").partition("=")
    return f"{found[1]}{name}='{value}' "


def _until_end(words: list[str]) -> list[str]:
    """Up to the first redirection, pipe or next command that follows psql."""
    kept: list[str] = []
    called = False
    for word in words:
        if called and word.startswith(_ENDS):
            break
        called = called or bool(re.fullmatch(rf"(?:.*[/\\])?{_PROGRAM}", word, re.S))
        ends = word.endswith(";")
        kept.append(word.removesuffix(";") if ends else word)
        if ends and called:
            break
    return kept


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
            _long(word[2:], queue, given)
        elif word.startswith("-") and len(word) > 1:
            _short(word[1:], queue, given)
        else:
            plain.append(word)
    # As psql does it: the first plain word is the database unless -d gave it, the next one the user unless -U did.
    for name in ("dbname", "user"):
        if plain and name not in given:
            given[name] = plain.pop(0)
    return given


def _long(word: str, queue: list[str], given: dict[str, str]) -> None:
    """One long option; a beginning that only one option has stands for it, as in every GNU program."""
    name, equals, value = word.partition("=")
    known = [option for option in {*_WITH_VALUE, *_IGNORED_WITH_VALUE, *_IGNORED} if len(option) > 1]
    fitting = [name] if name in known else [option for option in known if option.startswith(name)]
    if len(fitting) != 1 and set(fitting) != {"set"}:
        raise refusal("The command line has an option that psql does not know.", "options")
    option = fitting[0]
    if option in _WITH_VALUE:
        given[_WITH_VALUE[option]] = value if equals else _next(queue, option)
    elif option in _IGNORED_WITH_VALUE and not equals:
        _next(queue, option)


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
