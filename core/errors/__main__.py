"""The troubleshooting guide, made from the table of errors: `python -m core.errors > docs/errors.md`."""

from __future__ import annotations

import re
import sys

from core.errors import match
from core.errors.base import KINDS, PLATFORM_NAMES, TYPES, Kind

MEANING = {
    "service": "The server is away, or something else answers in its place.",
    "auth": "The server does not accept who you are.",
    "network": "There is no way to the server.",
    "tls": "The encrypted connection does not come about.",
    "schema": "The database does not contain what the statement needs.",
    "permission": "The role or the user of this machine may not do it.",
    "resource": "Something has run out, or is broken.",
    "transient": "It works when it is tried again.",
    "config": "It is set up or used in a way that cannot work.",
    "data": "The values themselves cannot be stored or found.",
    "unexpected": "None of the above.",
}
INTRODUCTION = (
    "# Troubleshooting",
    "Made from the table of errors by `python -m core.errors > docs/errors.md`; do not edit it by hand.",
    "Every error that Tradekeep shows has a code. The HTTP interface gives it as `error_code`, with the type as"
    " `error`; a page and the command line name the section of this guide.",
    "- You have a code: search for it, for instance `DB_001`.\n"
    "- You have a text of a driver, of the server or of its log: [what you see](#what-you-see).\n"
    "- You have an SQLSTATE, five characters such as `42P01`: [SQLSTATEs](#sqlstates).\n"
    "- You have neither: [the types of errors](#types).",
    "Words in capitals stand for what the error itself fills in. Steps without a system hold on every one. What"
    " is written for a system is meant for the machine on which the command runs: that of the server for its files"
    " and its service, yours for the connection.",
)
_SPECIAL = re.compile(r"[\[\](){}|*+?^$\\]")
_COMMAND = re.compile(r"^(?P<text>.*?): (?P<command>[\w./~$\"'\\-]+(?: .*)?[^.])$", re.S)
_PLACEHOLDER = re.compile(r"%(?:\d+\$)?(?:l?[sducmX]|lu|zu|llu)")
SHORTEST_TEXT = 8


def page() -> str:
    """Markdown: what a person sees, SQLSTATEs, then a section for each type, in it one for each code."""
    seen = {name: texts(name) for name in KINDS}
    parts = [*INTRODUCTION, "## What you see", _index(seen), "## SQLSTATEs", _sqlstates(), "## Types"]
    parts.append("\n".join(f"- [{name}](#{name}): {MEANING[name]}" for name in TYPES))
    for error_type in TYPES:
        parts += [f"## {error_type}", MEANING[error_type]]
        rows = [kind for kind in KINDS.values() if kind.error_type == error_type]
        parts += [_section(kind, seen[kind.name]) for kind in sorted(rows, key=lambda kind: kind.code)]
    return "\n\n".join(parts) + "\n"


def texts(name: str) -> list[str]:
    """What drivers, the server and its log say where it is this kind; only what can be read as it stands."""
    found: dict[str, None] = {}
    for section in ("text", "refine", "log"):
        for row in match.table()[section]:
            if row["kind"] != name:
                continue
            for message in row.get("messages", ()):
                found[_PLACEHOLDER.sub("...", message.strip().split("\n")[0])] = None
            for pattern in row.get("patterns", ()):
                plain = "" if _SPECIAL.search(pattern) else pattern
                if plain.isascii() and len(plain) >= SHORTEST_TEXT:
                    found[plain] = None
    # A shorter text that another one contains adds nothing.
    return [text for text in found if not any(text.lower() in other.lower() for other in found if other != text)]


def _index(seen: dict[str, list[str]]) -> str:
    rows = {(text, kind) for kind, said in seen.items() for text in said}
    lines = [
        f"| {_in_code(text.replace('|', '/'))} | {_link(KINDS[kind])} |"
        for text, kind in sorted(rows, key=lambda row: (row[0].strip("\"'. ").lower(), row))
    ]
    return "\n".join(["| text | code |", "|---|---|", *lines])


def _sqlstates() -> str:
    codes: dict[str, str] = match.table()["sqlstates"]
    lines = []
    for code, kind in sorted(codes.items()):
        refined = [row["kind"] for row in match.table()["refine"] if row["sqlstate"] == code]
        links = ", ".join(_link(KINDS[name]) for name in dict.fromkeys([kind, *refined]))
        lines.append(f"| `{code}`{'...' if len(code) == 2 else ''} | {links} |")
    head = "The first is the usual cause; two characters stand for all codes that begin so and are not listed."
    return "\n".join([head, "", "| SQLSTATE | code |", "|---|---|", *lines])


def _link(kind: Kind) -> str:
    return f"[{kind.code}](#{kind.code.lower()}) {_shown(kind.title)}"


def _section(kind: Kind, seen: list[str]) -> str:
    again = ""
    if kind.retryable:
        again = f", may be retried after {kind.retry_after:g} s" if kind.retry_after else ", may be retried"
    parts = [
        f'<a id="{kind.code.lower()}"></a>',
        f"### {kind.code}: {_shown(kind.title)}",
        f"`{kind.name}`, HTTP status {kind.http}{again}",
        f"**Why.** {_shown(kind.why)}",
        f"**What to do.** {_shown(kind.fix)}",
        *_steps(kind),
    ]
    if seen:
        parts.append("Seen as: " + ", ".join(_in_code(text) for text in seen))
    return "\n\n".join(parts)


def _steps(kind: Kind) -> list[str]:
    """The steps, under the names of the systems for which they hold where they differ."""
    shared: dict[tuple[str, ...], list[str]] = {}
    for platform, name in PLATFORM_NAMES.items():
        steps = kind.steps_on.get(platform, kind.steps_on.get("linux", ()))
        shared.setdefault(steps, []).append(name)
    parts = []
    for steps, names in shared.items():
        if steps:
            heading = f"{', '.join(names)}:\n\n" if len(shared) > 1 else ""
            parts.append(heading + "\n".join(f"{number}. {_step(step)}" for number, step in enumerate(steps, 1)))
    return parts


def _step(step: str) -> str:
    """A step; the command in it as code, so that it can be copied as it stands."""
    found = _COMMAND.match(step)
    if not found:
        return _shown(step)
    command = re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), found["command"])
    return f"{_shown(found['text'])}: {_in_code(command)}"


def _in_code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"


def _shown(text: str) -> str:
    """Placeholders in capitals, and nothing that Markdown would take for its own."""
    named = re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), text)
    return re.sub(r"([*_<>#|`\[\]\\])", r"\\\1", named)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.write(page())
