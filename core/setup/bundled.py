"""The bundled server behind a configuration: whether it is meant, and what a failed connection to it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import embedded
from core.errors import TradekeepError
from core.settings import DatabaseConfig
from core.settings.config import loopback

if TYPE_CHECKING:
    from core.setup.diagnose import ConnectionResult

# These say already what is the matter and that it passes, or that another program has the port.
_TELLING = frozenset(
    {"service.starting", "service.recovering", "service.shutting_down", "service.not_postgres", "service.port_taken"}
)


def behind(config: DatabaseConfig, home: Path) -> embedded.Status | None:
    """The home's bundled server if the configuration points to it, running or not; else None."""
    if config.backend != "postgresql":
        return None
    by_socket = config.host.startswith("/")
    # It listens on 127.0.0.1 only; at another address of loopback is another server.
    numeric = config.host[:1].isdigit() or ":" in config.host
    if not by_socket and (not loopback(config.host) or (numeric and config.host != "127.0.0.1")):
        return None
    found = embedded.status(home=home)
    if found.port is None or found.port != config.port:
        return None
    return found if not by_socket or found.socket_dir == Path(config.host) else None


def made_by_us(config: DatabaseConfig) -> bool:
    """Whether its user is named as the setup names roles; for another one a setup again would write another login."""
    return config.user == config.database


def concerning(error: TradekeepError, config: DatabaseConfig, home: Path) -> TradekeepError:
    """The error, or the bundled server's own one where it says that the home's cannot be reached or refuses a login.

    Those are service.bundled_stopped and auth.bundled_password.
    """
    refused = error.kind == "auth.password" and made_by_us(config)
    away = error.error_type in ("service", "network") and error.kind not in _TELLING
    if not (refused or away) or ".bundled_" in error.kind:
        return error
    theirs = {name: error.facts.get(name) for name in ("host", "port")}
    if any(fact is not None and str(fact) != str(getattr(config, name)) for name, fact in theirs.items()):
        return error  # it is about another server than the configured one
    found = behind(config, home)
    if found is None:
        return error
    where: dict[str, Any] = {"host": config.host, "port": config.port}
    if refused:
        user = error.facts.get("user") or config.user
        return TradekeepError("auth.bundled_password", details=error.details, user=user, **where)
    details = "\n".join(text for text in (error.message, error.details, found.reason) if text)
    return TradekeepError("service.bundled_stopped", details=details, log=str(found.log_dir), **where)


def tested(result: ConnectionResult, config: DatabaseConfig, home: Path) -> ConnectionResult:
    """The result of a connection test, its error as `concerning` tells it."""
    if not result.error:
        return result
    info = result.error
    error = TradekeepError(info["kind"], info["message"], details=info["details"], **info["facts"])
    found = concerning(error, config, home)
    if found is error:
        return result
    changes = {"error_type": found.error_type, "error_message": found.message, "suggested_fix": found.suggested_fix}
    return result.model_copy(update=changes | {"error": found.diagnostic_info()})
