"""Finding a login on this machine: every place by name, what it came to, and never a password in the answer."""

from __future__ import annotations

import logging

from pydantic import SecretStr

from core.errors import TradekeepError
from core.progress import Report, silent
from core.settings import DatabaseConfig, Settings
from core.setup.credentials import defaults
from core.setup.credentials.attempt import Caller, Try
from core.setup.credentials.change import Change, change_password, new_password
from core.setup.credentials.sources import Candidate, Source, Verdict, candidates, completed

__all__ = [
    "Change",
    "Source",
    "Verdict",
    "candidates",
    "change_password",
    "login_of",
    "new_password",
    "search",
]

logger = logging.getLogger(__name__)
STOPPED = "an earlier answer of the server says that it is no use"


def search(
    wanted: DatabaseConfig, settings: Settings, *, progress: Report = silent, common: bool = True
) -> list[Source]:
    """Look in every place for a login of the server, and try each one that was found, in their order.

    wanted: the server, with user and database where they are known. common: also try a few common passwords, on
    this machine only, and only if nothing else works. The answer holds no password: `login_of` reads it again.
    """
    found = candidates(wanted, settings)
    caller, stopped = Caller(), ""
    seen: dict[str, Try] = {}
    sources: list[Source] = []
    for number, candidate in enumerate(found):
        progress(number, len(found) + 1, f"Trying {candidate.source.name}")
        source = candidate.source
        if candidate.config is not None:
            # The same login in two places is tried once: each wrong try counts on the server.
            key = candidate.config.fingerprint()
            if stopped:
                source = source.model_copy(update={"verdict": "skipped", "why": stopped})
            else:
                if key not in seen:
                    seen[key] = _tried(candidate, caller)
                source = _judged(candidate, seen[key])
                stopped = STOPPED if seen[key].ends else ""
        sources.append(source)
    if any(source.verdict == "works" for source in sources):
        return sources
    if common:
        progress(len(found), len(found) + 1, "Trying a few common passwords")
        sources += defaults.tries(wanted, caller, stopped=stopped)
    logger.info("looked for a password in %d places, %d work", len(sources), sum(s.verdict == "works" for s in sources))
    return sources


def _tried(candidate: Candidate, caller: Caller) -> Try:
    assert candidate.config is not None  # only places with a login are tried
    bare = candidate.source.kind in ("peer", "trust")
    return caller.try_login(candidate.config, password="" if bare else None)


def _judged(candidate: Candidate, found: Try) -> Source:
    source = candidate.source
    if not found.ok:
        return source.model_copy(update={"verdict": "fails", "why": found.why, "ms": found.ms})
    changes: dict[str, object] = {"verdict": "works", "superuser": found.superuser, "ms": found.ms}
    bare = source.kind in ("peer", "trust")
    if not bare and not found.used_password:
        changes["why"] = "the server did not ask for the password"
    if source.kind == "trust":
        changes["danger"] = (
            f"Everybody on this machine may sign in as {source.user} without a password"
            f"{', with every right' if found.superuser else ''}: a rule in pg_hba.conf says trust."
        )
    return source.model_copy(update=changes)


def login_of(source: Source, wanted: DatabaseConfig, settings: Settings) -> DatabaseConfig:
    """The login behind a source, read again from where it stands. Raises config.login where it is gone."""
    if source.kind == "default" and source.verdict == "works":
        config = completed(wanted.replace(user=source.user, database=source.database), wanted)
        return config.replace(password=SecretStr(defaults.password_of(source.key)))
    for candidate in candidates(wanted, settings):
        if candidate.source.key == source.key and candidate.config is not None:
            return candidate.config
    raise TradekeepError("config.login", f"The login in {source.name} is not there any more.")
