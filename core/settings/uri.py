"""A PostgreSQL URL cut where libpq cuts it, still encoded."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Uri:
    """A libpq URI cut where libpq cuts it: (part, raw text) in order, the raw query, and what is wrong with it."""

    parts: list[tuple[str, str]]
    query: str
    problem: str = ""
    query_at: int = 0


def cut(text: str) -> Uri:
    """The raw parts of a URI. Source: conninfo_uri_parse_options in PostgreSQL's fe-connect.c."""
    at = text.index("://") + 3
    parts: list[tuple[str, str]] = []
    sign = re.compile(r"[@/]|$").search(text, at)
    if sign and sign[0] == "@":
        colon = re.compile(r"[:@]").search(text, at)
        end = colon.start() if colon else sign.start()
        parts.append(("user", text[at:end]))
        if text[end] == ":":
            at, end = end + 1, text.index("@", end + 1)
            parts.append(("password", text[at:end]))
        at = end + 1
    while True:
        if text.startswith("[", at):
            end = text.find("]", at)
            if end < 0:
                return Uri(parts, "", 'The host begins with "[" but has no "]".')
            if end == at + 1:
                return Uri(parts, "", "The host in brackets is empty.")
            parts.append(("host", text[at + 1 : end]))
            at = end + 1
            if at < len(text) and text[at] not in ":/?,":
                return Uri(parts, "", 'After the "]" of the host only ":", "/", "?" or "," may follow.')
        else:
            end = re.compile(r"[:/?,]|$").search(text, at).start()  # type: ignore[union-attr]  # $ always matches
            parts.append(("host", text[at:end]))
            at = end
        if text.startswith(":", at):
            end = re.compile(r"[/?,]|$").search(text, at + 1).start()  # type: ignore[union-attr]  # $ always matches
            parts.append(("port", text[at + 1 : end]))
            at = end
        if not text.startswith(",", at):
            break
        at += 1
    if text.startswith("/", at):
        end = text.find("?", at)
        end = len(text) if end < 0 else end
        parts.append(("database", text[at + 1 : end]))
        at = end
    return Uri(parts, text[at + 1 :], query_at=at)
