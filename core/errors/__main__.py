"""The table of errors as a page of documentation: `python -m core.errors > docs/errors.md`."""

from __future__ import annotations

import re
import sys

from core.errors.base import KINDS, TYPES, Kind

PLATFORM_NAMES = {"linux": "Linux", "macos": "macOS", "windows": "Windows"}
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


def page() -> str:
    """Markdown: a section for each type, in it one for each code."""
    parts = [
        "# Errors",
        "Made from the table of errors by `python -m core.errors > docs/errors.md`; do not edit it by hand.",
        "Every error that Tradekeep shows has a code. The HTTP interface gives it as `error_code`, with the type as"
        " `error`. Words in capitals stand for what the error itself fills in.",
    ]
    for error_type in TYPES:
        parts += [f"## {error_type}", MEANING[error_type]]
        rows = [kind for kind in KINDS.values() if kind.error_type == error_type]
        parts += [_section(kind) for kind in sorted(rows, key=lambda kind: kind.code)]
    return "\n\n".join(parts) + "\n"


def _section(kind: Kind) -> str:
    again = ""
    if kind.retryable:
        again = f", may be retried after {kind.retry_after:g} s" if kind.retry_after else ", may be retried"
    lines = [
        f"### {kind.code}: {_shown(kind.title)}",
        f"`{kind.name}`, HTTP status {kind.http}{again}",
        f"{_shown(kind.why)} {_shown(kind.fix)}",
    ]
    for platform, steps in kind.steps_on.items():
        if steps:
            name = f"{PLATFORM_NAMES[platform]}:\n\n" if len(kind.steps_on) > 1 else ""
            lines.append(name + "\n".join(f"{number}. {_shown(step)}" for number, step in enumerate(steps, 1)))
    return "\n\n".join(lines)


def _shown(text: str) -> str:
    """Placeholders in capitals, and nothing that Markdown would take for its own."""
    named = re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), text)
    return re.sub(r"([*_<>#|`\[\]\\])", r"\\\1", named)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.write(page())
