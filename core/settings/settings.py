"""Every setting with its source: environment > .env.tradekeep > .env.local > .env > default."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, SecretStr

from core import envfile
from core.errors import TradekeepError
from core.log import MASK, remember_secret
from core.settings.config import PLACE_VARIABLES, DatabaseConfig, option_variables
from core.settings.parse import parse_connection
from core.settings.variables import VARIABLES, Variable

FILES = (".env.tradekeep", ".env.local", ".env")
ENVIRONMENT = "environment"
DEFAULT = "default"
ARGUMENT = "argument"


class ConfigIssue(BaseModel):
    """One thing about the configuration that somebody should know."""

    model_config = ConfigDict(frozen=True)

    severity: Literal["error", "warning", "info"]
    component: str
    message: str
    suggested_fix: str


class Source(NamedTuple):
    """Where values come from: "environment" or a file's name."""

    name: str
    path: Path | None
    values: Mapping[str, str]


class Settings(BaseModel):
    """All settings of one project as they are now; `load_settings` makes it, `VARIABLES` explains each field."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)

    home: Path
    project: Path
    env: Literal["development", "testing", "production"] = "development"
    database: DatabaseConfig | None = None
    owner: DatabaseConfig | None = None
    viewer: DatabaseConfig | None = None
    admin_password: SecretStr | None = None
    tracked_symbols: list[str] = []
    log_level: str = "INFO"
    sql_echo: bool = False
    pool_size: int = 5
    max_overflow: int = 10
    pool_timeout_s: float = 5.0
    pool_recycle_s: float = 1800.0
    connect_timeout_s: float = 2.0
    statement_timeout_s: float = 5.0
    init_timeout_s: float = 30.0
    retry_attempts: int = 5
    retry_delay_s: float = 1.0
    auto_repair: bool = False
    error: TradekeepError | None = None
    sources: dict[str, str] = {}
    found: tuple[ConfigIssue, ...] = ()

    @property
    def configured(self) -> bool:
        """Whether there is a database to work with, or was meant to be; demo data is for when there is none."""
        return self.database is not None or self.error is not None

    @property
    def env_local(self) -> Path:
        """The platform's file: what the bots read."""
        return self.project / ".env.local"

    @property
    def env_tradekeep(self) -> Path:
        """Tradekeep's own file: what the bots must not read."""
        return self.project / ".env.tradekeep"

    def source_of(self, name: str) -> str:
        """Where a variable's value comes from: "argument", "environment", a file's name, or "default"."""
        return self.sources.get(name, DEFAULT)

    def shown(self) -> dict[str, dict[str, str]]:
        """Every variable with its value (secrets masked) and its source: name -> {"value", "source"}."""
        rows = {}
        for variable in VARIABLES:
            value = getattr(self, variable.field)
            if isinstance(value, DatabaseConfig):
                text = value.masked_url()
            elif isinstance(value, list):
                text = ",".join(value)
            else:
                text = "" if value is None else MASK if variable.secret else str(value)
            rows[variable.name] = {"value": text, "source": self.source_of(variable.name)}
        return rows

    def issues(self) -> list[ConfigIssue]:
        """What is wrong or risky about the configuration now, errors first; [] when nothing is."""
        from core.settings.issues import issues_of  # it needs this class

        return issues_of(self)


def environment() -> dict[str, str]:
    """A copy of the process's environment, for child processes and for the few who look up one value."""
    return dict(os.environ)


def environment_for(project: Path) -> dict[str, str]:
    """The process's environment for a child of ours that works on the project."""
    return environment() | {"TRADEKEEP_PROJECT": str(project)}


def default_home() -> Path:
    """The user's data folder; /var/lib/tradekeep for root on Linux, whose home other accounts cannot enter."""
    if sys.platform.startswith("linux") and os.geteuid() == 0:
        return Path("/var/lib/tradekeep")
    return user_data_path("tradekeep", appauthor=False)


def sources_of(project: Path, found: list[ConfigIssue] | None = None) -> list[Source]:
    """The environment and the project's env files, strongest first; a file that cannot be read becomes an issue."""
    sources = [Source(ENVIRONMENT, None, environment())]
    for name in FILES:
        path = project / name
        try:
            sources.append(Source(name, path, envfile.values(path)))
        except TradekeepError as error:
            sources.append(Source(name, path, {}))
            if found is not None:
                found.append(_issue("error", name, error.message, error.suggested_fix))
    return sources


def load_settings(project: Path | None = None) -> Settings:
    """The settings of a project (default: TRADEKEEP_PROJECT, else the current folder).

    A value that cannot be used becomes an issue and its default is used; a DATABASE_URL that cannot be read
    leaves database None and stands in `error`. Never raises for what is written in a file or the environment.
    In TRADEKEEP_ENV=testing without a DATABASE_URL the database is the SQLite file testing.sqlite under home.
    """
    found: list[ConfigIssue] = []
    folder, source = _project(project, found)
    sources = sources_of(folder, found)
    values: dict[str, Any] = {"home": default_home()}
    origin = {} if source == DEFAULT else {"TRADEKEEP_PROJECT": source}
    for variable in VARIABLES:
        name, text = _first(sources, variable)
        if not text or variable.field in ("project", "database", "owner", "viewer"):
            continue
        if variable.secret:
            remember_secret(text)
        try:
            values[variable.field] = variable.read(text)
            origin[variable.name] = name
        except ValueError as reason:
            found.append(_bad_value(variable, name, str(reason)))
    values |= _connections(sources, origin, found)
    if values["database"] is None and values["error"] is None and values.get("env") == "testing":
        values["database"] = DatabaseConfig(backend="sqlite", database=str(values["home"] / "testing.sqlite"))
    return Settings(**values, project=folder, sources=origin, found=tuple(found))


def _project(given: Path | None, found: list[ConfigIssue]) -> tuple[Path, str]:
    """The project's folder and its source; one that can be no folder's name becomes an issue, and a default is used."""
    variable = next(variable for variable in VARIABLES if variable.field == "project")
    candidates = ((ARGUMENT, str(given or "")), (ENVIRONMENT, environment().get(variable.name, "").strip()))
    for source, text in candidates:
        if not text:
            continue
        try:
            return variable.read(text), source
        except ValueError as reason:
            found.append(_bad_value(variable, source, str(reason)))
    return Path.cwd(), DEFAULT


def _issue(severity: Literal["error", "warning", "info"], component: str, message: str, fix: str) -> ConfigIssue:
    return ConfigIssue(severity=severity, component=component, message=message, suggested_fix=fix)


def _bad_value(variable: Variable, source: str, reason: str) -> ConfigIssue:
    return _issue(
        "error",
        variable.name,
        f"{variable.name} in {_place(source)} {reason}; {variable.default_text or 'its default'} is used.",
        f"Correct {variable.name}: {variable.unit}.",
    )


def _place(source: str) -> str:
    return {ENVIRONMENT: "the environment", ARGUMENT: "the argument"}.get(source, source)


def _first(sources: list[Source], variable: Variable) -> tuple[str, str]:
    """The strongest source that sets the variable to something, and the text; an empty value is no value."""
    for source in sources:
        for name in (variable.name, *variable.also):
            if text := source.values.get(name, "").strip():
                return source.name, text
    return DEFAULT, ""


def _connections(sources: list[Source], origin: dict[str, str], found: list[ConfigIssue]) -> dict[str, Any]:
    """database, owner, viewer and error."""
    configs: dict[str, Any] = {"database": None, "owner": None, "viewer": None, "error": None}
    separate = _separate(sources)
    for variable in VARIABLES:
        if variable.field not in ("database", "owner", "viewer"):
            continue
        name, text = _first(sources, variable)
        try:
            if text:
                origin[variable.name] = name
                config = parse_connection(text)
            elif variable.field == "database" and any(
                separate.get(key) for key in ("PGHOST", "PGSERVICE", "PGDATABASE")
            ):
                givers = (source.name for source in sources if any(source.values.get(key) for key in PLACE_VARIABLES))
                origin[variable.name] = next(givers)
                config = _from_variables(separate)
            else:
                continue
            configs[variable.field] = _completed(config, separate, configs["database"])
        except TradekeepError as error:
            message = f"{variable.name} in {_place(name)} cannot be used: {error.message}"
            if variable.field == "database":
                configs["error"] = TradekeepError(error.kind, message, part=error.facts.get("part", ""))
            found.append(_issue("error", variable.name, message, error.suggested_fix))
    return configs


def _separate(sources: list[Source]) -> dict[str, str]:
    """libpq's variables (PGHOST, PGSSLROOTCERT ...) with the strongest value of each."""
    names = [variable for variable in option_variables().values() if variable]
    return {name: text for name in names for text in [_text(sources, name)] if text}


def _text(sources: list[Source], name: str) -> str:
    return next((text for source in sources if (text := source.values.get(name, ""))), "")


def _from_variables(separate: Mapping[str, str]) -> DatabaseConfig:
    keywords = {variable: keyword for keyword, variable in option_variables().items() if variable}
    return DatabaseConfig.from_params({keywords[name]: separate[name] for name in PLACE_VARIABLES if name in separate})


def _completed(config: DatabaseConfig, separate: Mapping[str, str], runtime: DatabaseConfig | None) -> DatabaseConfig:
    """The config with the options that stand in keys of their own, where it has none of the same name.

    Those that say where the database is and who signs in complete only a URL that names no server: they may be left
    over from an older one. An owner or viewer of another server than the runtime's gets nothing.
    """
    if config.backend == "sqlite" or (runtime and not config.same_server(runtime)):
        return config
    keywords = {variable: keyword for keyword, variable in option_variables().items() if variable}
    options = {keywords[name]: text for name, text in separate.items() if name not in PLACE_VARIABLES}
    config = config.replace(options=options | config.options)
    if runtime or config.host or {"hostaddr", "service"} & config.options.keys():
        return config
    # A URL without a host: libpq too would take the rest of the place from its variables.
    left = {keywords[name]: separate[name] for name in PLACE_VARIABLES if name in separate}
    own = config.libpq_params()
    if "user" in own and own["user"] != left.get("user", own["user"]):
        left.pop("password", None)  # a password belongs only to its own user
    return DatabaseConfig.from_params(left | own)
