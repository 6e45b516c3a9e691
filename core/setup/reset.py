"""How a forgotten password is set again: exact commands for this platform and this installation."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.format import identifier
from core.settings import DatabaseConfig
from core.setup.installation import Installation, installation

BACKUP = ".before-reset"
ADMINISTRATOR = "postgres"


class ResetStep(BaseModel):
    """One thing to do; command is exactly what to enter, in shell bash, powershell or psql ("" for no command)."""

    model_config = ConfigDict(frozen=True)
    text: str
    command: str = ""
    shell: str = "bash"


class Guide(BaseModel):
    """How to set a role's password again; otherwise: the longer way, where the first one does not let in."""

    model_config = ConfigDict(frozen=True)
    title: str
    role: str
    steps: list[ResetStep]
    otherwise: list[ResetStep] = []
    note: str = ""


def instructions(config: DatabaseConfig, home: Path) -> Guide:
    """The guide for the server and the role of this configuration. Looks at this machine, signs in nowhere."""
    return guide(installation(config, home), role=config.user or ADMINISTRATOR, port=config.port or 5432)


def guide(place: Installation, *, role: str, port: int) -> Guide:
    """The guide for one installation; the same for the same arguments on every machine but for sudo's absence."""
    made = _GUIDES[place.kind](place, role, port)
    return made.model_copy(update={"role": role})


# --- commands, each quoted for its shell


def _as(account: str, command: str) -> str:
    """A command under another account: by sudo, or by runuser where root has no sudo (containers)."""
    if shutil.which("sudo") is None and hasattr(os, "geteuid") and os.geteuid() == 0:
        return f"runuser -u {shlex.quote(account)} -- {command}"
    return f"sudo -u {shlex.quote(account)} {command}"


def _root(command: str) -> str:
    return (
        command if shutil.which("sudo") is None and hasattr(os, "geteuid") and os.geteuid() == 0 else f"sudo {command}"
    )


def _sql_name(role: str) -> str:
    """A role's name as psql and pg_hba.conf take it: in quotation marks where it is no plain lower-case name."""
    return role if re.fullmatch(r"[a-z_][a-z0-9_]*", role) else identifier(role)


def _ask(role: str) -> str:
    r"""psql's \password, which asks for the new one, shows nothing, and sends a verifier only."""
    return rf"\password {_sql_name(role)}"


def _psql(place: Installation, port: int, role: str, *, user: str = "", host: str = "") -> str:
    program = f"{place.programs}/psql" if place.programs else "psql"
    where = f" -h {shlex.quote(host)}" if host else ""
    who = f" -U {shlex.quote(user)}" if user else ""
    return f"{shlex.quote(program)}{where} -p {port}{who} -d postgres -c {shlex.quote(_ask(role))}"


def _prove(role: str, port: int) -> ResetStep:
    return ResetStep(
        text="Sign in with the new password to prove it",
        command=f"psql -h localhost -p {port} -U {shlex.quote(role)} -d postgres -c 'SELECT current_user'",
    )


def _through_hba(place: Installation, rule: str, reload: str, again: str) -> list[ResetStep]:
    """Let one account in by a rule on top of pg_hba.conf, set the password, put the file back."""
    file = place.hba_file or "PG_HBA_FILE"
    path, kept = shlex.quote(file), shlex.quote(file + BACKUP)
    old, new = _root(f"cat {kept}"), _root(f"tee {path}")
    steps = []
    if not place.hba_file:
        where = "Find pg_hba.conf and put its path in place of PG_HBA_FILE; where another login works, ask the server"
        steps.append(ResetStep(text=where, command="SHOW hba_file;", shell="psql"))  # noqa: S604  # a name of a language
    return [
        *steps,
        ResetStep(text="Keep a copy of the file with the sign-in rules", command=_root(f"cp -p {path} {kept}")),
        ResetStep(
            text="Put one rule on top of it; the first rule that fits counts",
            command=f"{{ printf '%s\\n' {shlex.quote(rule)}; {old}; }} | {new} > /dev/null",
        ),
        ResetStep(text="Have the server read it", command=reload),
        ResetStep(text="Set the password", command=again),
        ResetStep(text="Put the file back, whether or not that worked", command=_root(f"cp -p {kept} {path}")),
        ResetStep(text="Have the server read it again", command=reload),
        ResetStep(text="Remove the copy", command=_root(f"rm {kept}")),
    ]


# --- one guide for each kind of installation


def _debian(place: Installation, role: str, port: int) -> Guide:
    host = place.socket_dir if place.socket_dir not in ("", "/var/run/postgresql", "/run/postgresql") else ""
    setting = _as(place.account, _psql(place, port, role, host=host))
    reload = _root(f"pg_ctlcluster {shlex.quote(place.version)} {shlex.quote(place.name)} reload")
    return Guide(
        title=f"Debian's cluster {place.version}/{place.name} on port {port}",
        role=role,
        steps=[ResetStep(text="Set a new password as the server's own account", command=setting), _prove(role, port)],
        otherwise=_through_hba(place, f"local all {_sql_name(place.account)} peer", reload, setting),
        note="The longer way is for servers whose rules do not let their own account in (peer).",
    )


def _linux(place: Installation, role: str, port: int) -> Guide:
    setting = _as(place.account, _psql(place, port, role, host=place.socket_dir))
    if place.data_dir:
        program = f"{place.programs}/pg_ctl" if place.programs else "pg_ctl"
        reload = _as(place.account, f"{shlex.quote(program)} reload -D {shlex.quote(place.data_dir)}")
    else:
        reload = _root("systemctl reload postgresql")
    title = f"PostgreSQL {place.version}".rstrip() + f" on port {port}"
    return Guide(
        title=title,
        role=role,
        steps=[ResetStep(text="Set a new password as the server's own account", command=setting), _prove(role, port)],
        otherwise=_through_hba(place, f"local all {_sql_name(place.account)} peer", reload, setting),
        note="The longer way is for servers whose rules do not let their own account in (peer).",
    )


def _homebrew(place: Installation, role: str, port: int) -> Guide:
    setting = _psql(place, port, role, user=place.account)
    program = f"{place.programs}/pg_ctl" if place.programs else "pg_ctl"
    reload = f"{shlex.quote(program)} reload -D {shlex.quote(place.data_dir or 'DATA_FOLDER')}"
    name = "Postgres.app" if place.kind == "postgres_app" else "Homebrew's PostgreSQL"
    return Guide(
        title=f"{name} on port {port}",
        role=role,
        steps=[
            ResetStep(
                text=f"Set a new password as {place.account}, the account that made the server and its superuser",
                command=setting,
            ),
            _prove(role, port),
        ],
        otherwise=_through_hba(place, f"local all {_sql_name(place.account)} trust", reload, setting),
        note="The longer way is for servers whose rules ask even the owner's account for a password.",
    )


def _macos(place: Installation, role: str, port: int) -> Guide:
    made = _linux(place, role, port)
    return made.model_copy(update={"title": f"PostgreSQL {place.version}".rstrip() + f" for macOS on port {port}"})


def _container(place: Installation, role: str, port: int) -> Guide:
    inner = f'psql -U "${{POSTGRES_USER:-postgres}}" -d postgres -c {shlex.quote(_ask(role))}'
    command = f"{place.kind} exec -it {shlex.quote(place.name)} sh -c {shlex.quote(inner)}"
    return Guide(
        title=f"Container {place.name} on port {port}",
        role=role,
        steps=[ResetStep(text="Set a new password inside the container", command=command), _prove(role, port)],
        note="POSTGRES_PASSWORD of the image counts only when an empty volume is filled: changing it in a compose file "
        "changes no password.",
    )


def _quoted(text: str) -> str:
    """Text for PowerShell, exactly as it is."""
    return "'" + text.replace("'", "''") + "'"


def _windows(place: Installation, role: str, port: int) -> Guide:
    file = place.hba_file or "PG_HBA_FILE"
    path, kept = _quoted(file), _quoted(file + BACKUP)
    service = _quoted(place.name or "postgresql-x64-NN")
    program = f"& {_quoted(place.programs + chr(92) + 'psql.exe')}" if place.programs else "psql"
    name = _sql_name(ADMINISTRATOR)
    rules = "`r`n".join(f"host all {name} {net} trust" for net in ("127.0.0.1/32", "::1/128"))
    restart = f"net stop {service}; net start {service}"

    def step(text: str, command: str, shell: str = "powershell") -> ResetStep:
        return ResetStep(text=text, command=command, shell=shell)

    return Guide(
        title=f"The Windows service {place.name or 'of PostgreSQL'} on port {port}",
        role=role,
        steps=[
            step("In PowerShell, run as administrator: keep a copy of the file with the sign-in rules",
                 f"Copy-Item -LiteralPath {path} -Destination {kept}"),
            step("Put two rules on top of it, for this machine only",
                 f'[IO.File]::WriteAllText({path}, "{rules}`r`n" + [IO.File]::ReadAllText({kept}))'),
            step("Restart the service; whoever is connected is cut off", restart),
            step("Sign in without a password", f"{program} -h 127.0.0.1 -p {port} -U {ADMINISTRATOR} -d postgres"),
            step("In psql, set the new password, then leave with \\q", _ask(role), "psql"),
            step("Put the file back, whether or not that worked",
                 f"Copy-Item -LiteralPath {kept} -Destination {path} -Force"),
            step("Restart the service again", restart),
            step("Remove the copy", f"Remove-Item -LiteralPath {kept}"),
            step("Sign in with the new password to prove it",
                 f"{program} -h 127.0.0.1 -p {port} -U {_quoted(role)} -d postgres -c 'SELECT current_user'"),
        ],
        note="Between the two restarts everybody on this machine may sign in as postgres.",
    )  # fmt: skip


def _bundled(place: Installation, role: str, port: int) -> Guide:
    return Guide(
        title="Tradekeep's own PostgreSQL",
        role=role,
        steps=[
            ResetStep(
                text="Its passwords are Tradekeep's own: a repair finds the roles, the files and the server, and makes "
                'them agree. On the Setup page that is "Repair the local setup"; on the command line',
                command="python -m core setup --embedded --yes",
            )
        ],
    )


def _remote(place: Installation, role: str, port: int) -> Guide:
    if place.advice:
        steps = [ResetStep(text=f"Set a new password in the {place.advice}", command="")]
    else:
        steps = [
            ResetStep(text=f"Ask whoever runs {place.name} for a new password of {role}; on that machine they enter"),
            ResetStep(
                text="as the server's own account", command=f"sudo -u postgres psql -c {shlex.quote(_ask(role))}"
            ),
        ]
    return Guide(title=place.name, role=role, steps=steps, note="Nothing on this machine can set it.")


_GUIDES = {
    "bundled": _bundled, "remote": _remote, "docker": _container, "podman": _container, "debian": _debian,
    "linux": _linux, "homebrew": _homebrew, "postgres_app": _homebrew, "macos": _macos, "windows": _windows,
}  # fmt: skip
