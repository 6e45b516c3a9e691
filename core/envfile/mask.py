"""What a change does to an env file, shown without a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from core.envfile.text import BOM, decoded, lines
from core.log import MASK, redact

_SECRET_NAME = re.compile(
    r"pass|pwd|secret|token|key|credential|private|auth|salt|cookie|signature|webhook|dsn|cert(?!s?_?(file|path|dir))",
    re.I,
)
_PATH_NAME = re.compile(r"(?:file|path|dir|rootcert|sslcert|sslkey|sslcrl)\Z", re.I)
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+/=_~-]{20,}\Z")
_URL_PASSWORD = re.compile(r"(://[^:/@\s]*:).*(@)", re.S)
_URL_TOKEN = re.compile(r"(?<!postgres)(?<!postgresql)(://)[^/@\s:]+(@)")
_QUERY_SECRET = re.compile(r"([?&](?:[^=&\s]*(?:pass|secret|token|key)[^=&\s]*)=)[^&\s'\"]*", re.I)


def masked_value(key: str, value: str) -> str:
    """The value as it may be shown: `***` for a secret, a URL without its password."""
    if not value:
        return value
    if "://" in value:
        value = _QUERY_SECRET.sub(rf"\g<1>{MASK}", _URL_PASSWORD.sub(rf"\g<1>{MASK}\g<2>", value))
        shown = redact(_URL_TOKEN.sub(rf"\g<1>{MASK}\g<2>", value))
        return MASK if re.search(r"webhook|dsn|secret|token", key, re.I) else shown
    if _SECRET_NAME.search(key) and not _PATH_NAME.search(key):
        return MASK
    if _RANDOM.match(value) and "/" not in value[:1]:
        return MASK
    return redact(value)


def _shown(data: bytes) -> Iterator[tuple[str, str]]:
    """Every line of the file: as it is (to compare) and as it may be shown."""
    text = decoded(data)
    if text.startswith(BOM):
        yield BOM, "(byte order mark)"
    for line in lines(text.removeprefix(BOM)):
        for empty in line.lead.splitlines():
            yield empty, empty.rstrip()
        if not line.body and not line.ending:
            continue
        first, *more = re.split(r"\r\n|\n|\r", line.body)
        yield first + line.ending, _masked_line(line.key, line.value, first, bool(more))
        for part in more:
            yield part, MASK


def _masked_line(key: str | None, value: str | None, body: str, goes_on: bool) -> str:
    if key and value is not None:
        shown = MASK if goes_on else masked_value(key, value)
        return redact(body) if shown == value else f"{body.partition('=')[0]}={shown}"
    # A comment or an unreadable line: what stands after a secret's name goes, the rest only where it looks secret.
    if named := re.match(r"(.*?([A-Za-z_]\w*)[\"']?\s*[=:]\s*)(.+)", body):
        return named[1] + masked_value(named[2], named[3].strip("\"' "))
    return masked_value("", body) if "://" in body else redact(body)


def difference(old: bytes, new: bytes, name: str, *, context: int = 3) -> str:
    """A unified difference of two versions with every secret masked; "" when they are the same."""
    if old == new:
        return ""
    before, after = list(_shown(old)), list(_shown(new))
    matcher = SequenceMatcher(None, [raw for raw, _ in before], [raw for raw, _ in after], autojunk=False)
    out = [f"--- {name}", f"+++ {name}"]
    for group in matcher.get_grouped_opcodes(context):
        first, last = group[0], group[-1]
        out.append(f"@@ -{first[1] + 1},{last[2] - first[1]} +{first[3] + 1},{last[4] - first[3]} @@")
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                out += [f" {shown}" for _, shown in before[i1:i2]]
            else:
                out += [f"-{shown}" for _, shown in before[i1:i2]]
                out += [f"+{shown}" for _, shown in after[j1:j2]]
    return "\n".join(out) + "\n"
