"""The text of an env file: its lines as python-dotenv reads them, and a new version with some keys changed."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from dotenv.parser import parse_stream

from core.errors import TradekeepError

BOM = "\ufeff"
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Read alike without quotation marks by python-dotenv, bash, node, compose, docker and systemd.
_BARE = re.compile(r"[A-Za-z0-9_./:@%+,=?^-]*")
# `A=1; export A` and `A=1 B=2` of a shell; a connection string's own keywords are in lower case.
_MORE = re.compile(r"=[^'\"]*?(?:;[ \t]*(?:export|set)\b|&&|[ \t;](?:export[ \t]+)?[A-Z_][A-Z0-9_]*=)")
_HERE = re.compile(r"""(?<!<)<<(?!<)-?[ \t]*["']?([A-Za-z_]\w*)["']?""")
_QUOTED = r"""'[^'\r\n]*'|"[^"\\$`\r\n]*\""""


@dataclass(frozen=True)
class Line:
    """One assignment, comment or unreadable line.

    key and value as python-dotenv reads them (None for a comment); lead: the empty lines before it; body: the line
    itself (several where a quoted value goes on); ending: its line end; number: the body's first line, from 1.
    """

    key: str | None
    value: str | None
    lead: str
    body: str
    ending: str
    error: bool
    number: int


def unreadable(data: bytes) -> str:
    """Why these bytes are no text that a line can be changed in, or ""."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or _wide(data):
        return "It is text in UTF-16, which readers of env files cannot read. Save it as UTF-8."
    if data.startswith((b"\0GITCRYPT", b"Salted__", b"-----BEGIN PGP MESSAGE", b"-----BEGIN AGE ENCRYPTED")):
        return "It is encrypted. Decrypt it first."
    return ""


def _wide(data: bytes) -> bool:
    """UTF-16 without its mark: of plain letters every second byte is zero."""
    pairs = len(data) // 2
    return pairs > 1 and max(data[::2].count(0), data[1::2].count(0)) > 0.8 * pairs


def decoded(data: bytes) -> str:
    """The text of the bytes; bytes that are not UTF-8 survive the way back."""
    return data.decode("utf-8", "surrogateescape")


def lines(text: str) -> Iterator[Line]:
    """The lines of a text without its BOM; joined, lead + body + ending are the text again."""
    # The parser drops one BOM; one of ours saves a second one in the text.
    for binding in parse_stream(io.StringIO(BOM + text, newline="")):
        whole = binding.original.string
        blank = len(whole) - len(whole.lstrip())
        start = max(whole.rfind("\n", 0, blank), whole.rfind("\r", 0, blank)) + 1
        ending = next((end for end in ("\r\n", "\n", "\r") if whole.endswith(end, start)), "")
        body = whole[start : len(whole) - len(ending)]
        number = binding.original.line + len(re.findall(r"\r\n|\n|\r", whole[:start]))
        yield Line(binding.key, binding.value, whole[:start], body, ending, binding.error, number)


def values_of(text: str) -> dict[str, str]:
    """Key and value of every assignment, the last one winning, nothing expanded."""
    found = {line.key: line.value for line in lines(text.removeprefix(BOM)) if line.key}
    return {key: value for key, value in found.items() if value is not None}


def stumbling_blocks(text: str) -> list[tuple[int, str]]:
    """Line number and reason of everything that some reader of env files stumbles over."""
    found: list[tuple[int, str]] = []
    if text.startswith(BOM):
        found.append((1, "begins with a byte order mark, which hides the first key from several programs"))
    if any("\udc80" <= char <= "\udcff" for char in text):
        before = re.split("[\udc80-\udcff]", text, maxsplit=1)[0]
        found.append((before.count("\n") + 1, "contains a byte that is not UTF-8; some programs refuse the whole file"))
    seen: dict[str, int] = {}
    for line in lines(text.removeprefix(BOM)):
        if _open_quote(line):
            found.append((line.number, "opens a quotation mark that is never closed"))
        elif line.error or (line.key and line.value is None):
            found.append((line.number, "is not of the form KEY=value"))
        elif line.key in seen:
            found.append((line.number, f"sets {line.key} again (first in line {seen[line.key]}); the last one counts"))
        if line.key:
            seen.setdefault(line.key, line.number)
    return found


def _open_quote(line: Line) -> bool:
    """Whether some readers take what follows for a part of this line's value."""
    if line.key and re.search(r"=[ \t]*`", line.body) and line.body.count("`") % 2:
        return True  # python-dotenv knows no such quotation mark; node and shells do
    start = re.search(r"=\s*([\"'])", line.body)
    if not start or not line.error:
        return False
    return "\n" in line.body or "\r" in line.body or line.body.count(start[1], start.end()) == 0


def written(key: str, value: str) -> str:
    """`KEY=value` in a form that every reader understands alike; quotation marks only where they are needed.

    Raises config.env_value where there is none.
    """
    if not isinstance(key, str) or not isinstance(value, str):
        raise TradekeepError("config.env_value", f"{key} has a value that is not text.", key=str(key))
    if not _KEY.fullmatch(key):
        raise TradekeepError(
            "config.env_value", "A key may hold only letters, digits and underscores, and no digit first.", key=key
        )
    if _BARE.fullmatch(value):
        return f"{key}={value}"
    if reason := _unwritable(value):
        raise TradekeepError("config.env_value", f"The value of {key} contains {reason}.", key=key)
    if "'" not in value:
        return f"{key}='{value}'"
    return f'{key}="{value}"'


def _unwritable(value: str) -> str:
    """Why no quoting makes all readers agree, or ""."""
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]", value):
        return "a line break or another control character, which no line of an env file can hold"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "text that is not valid Unicode"
    if value.startswith(BOM):
        return "a byte order mark"
    if "${" in value:
        return '"${", which some programs replace by another variable even between quotation marks'
    if re.search(r"\\(?:[\\']|\Z)", value):
        return "a backslash before a backslash, a quotation mark or the end, which programs read differently"
    if "'" in value and re.search(r'["\\$`!]', value):
        return "both kinds of quotation marks, or ' together with one of \\ $ ` !, which programs read differently"
    return ""


def changed(data: bytes, values: Mapping[str, str | None], path: object) -> bytes:
    """The bytes with each key set (None: removed); every line that holds none of the keys stays byte for byte.

    Every copy of a key gets the value, so that no stale secret stays behind; new keys go to the end.
    Raises config.env_value or config.env_file.
    """
    new = {key: None if value is None else written(key, value) for key, value in values.items()}
    if reason := unreadable(data):
        raise TradekeepError("config.env_file", reason, path=path)
    text = decoded(data)
    mark = BOM if text.startswith(BOM) else ""
    out: list[str] = []
    missing = {key: form for key, form in new.items() if form is not None}
    whole = list(lines(text.removeprefix(BOM)))
    documents = _here_documents(whole)
    broken: Line | None = None
    before: Line | None = None
    for line, after in zip_longest(whole, whole[1:]):
        if line.key is None or line.key not in new:
            out.append(line.lead + line.body + line.ending)
            broken = broken or (line if _open_quote(line) else None)
        else:
            _safe_after(broken, before if not line.lead else None, path)
            _safe_alone(line, after, documents, path)
            if not out and not line.lead:
                mark = ""  # glued to this key, it would hide the key from bash and others
            out.append(line.lead + _replaced(line, new[line.key], values[line.key]))
            missing.pop(line.key, None)
        before = line
    if missing:
        _safe_after(broken, before, path)
        newline = "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"
        if not any(out):
            mark = ""
        elif not out[-1].endswith(("\n", "\r")):
            out.append(newline)
        out += [form + newline for form in missing.values()]
    result = mark + "".join(out)
    _verified(text, result, values, path)
    return result.encode("utf-8", "surrogateescape")


def _replaced(line: Line, form: str | None, value: str | None) -> str:
    if form is None:
        return ""
    start = re.match(r"([ \t]*)(export[ \t]+)?", line.body)
    indent, export = (start[1] or "", "export " if start[2] else "") if start else ("", "")
    well_formed = re.fullmatch(rf"[ \t]*(?:export[ \t]+)?{line.key}=(?:{_BARE.pattern}|{_QUOTED})", line.body)
    if line.value == value and well_formed:
        return line.body + line.ending
    return indent + export + form + line.ending


def _safe_after(broken: Line | None, before: Line | None, path: object) -> None:
    """Refuse to write below a line that some readers join with what follows."""
    if broken:
        raise TradekeepError(
            "config.env_file",
            f"Line {broken.number} opens a quotation mark that is never closed, so programs disagree about every "
            "line after it. Close it first.",
            path=path,
        )
    if before and before.key and _goes_on(before):
        raise TradekeepError(
            "config.env_file",
            f"Line {before.number} ends with a backslash, so some programs join it with the line after it. "
            "Remove the backslash, or put an empty line after it.",
            path=path,
        )


def _safe_alone(line: Line, after: Line | None, documents: list[range], path: object) -> None:
    """Refuse to change a line that holds more than the one assignment, or only a part of it."""
    reason = ""
    if any(line.number in document for document in documents):
        reason = "stands in a here-document of the shell, so it is a part of another value"
    elif after and after.body and not after.lead and _goes_on(line):
        reason = "ends with a backslash, so some programs join it with the line after it. Write both as one line first"
    elif _MORE.search(re.sub(r"[ \t]#.*", "", line.body)):
        reason = "holds more than one assignment. Give each a line of its own first"
    if reason:
        raise TradekeepError("config.env_file", f"Line {line.number} {reason}.", path=path)


def _goes_on(line: Line) -> bool:
    return bool((len(line.body) - len(line.body.rstrip("\\"))) % 2)


def _here_documents(whole: list[Line]) -> list[range]:
    """The line numbers inside of each `<<WORD` that ends with a line WORD."""
    found: list[range] = []
    begun: dict[str, int] = {}
    for line in whole:
        if (word := line.body.strip()) in begun:
            found.append(range(begun.pop(word) + 1, line.number))
        elif start := _HERE.search(line.body):
            begun.setdefault(start[1], line.number)
    return found


def _verified(old: str, new: str, values: Mapping[str, str | None], path: object) -> None:
    expected = {key: value for key, value in (values_of(old) | dict(values)).items() if value is not None}
    if values_of(new) != expected:
        raise TradekeepError(
            "config.env_file", "The file's lines hang together in a way that a change of one would break.", path=path
        )
