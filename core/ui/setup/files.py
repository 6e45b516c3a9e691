"""The env files on the Setup page: their backups, what restoring one would change, and new passwords for the roles."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core import envfile, state
from core.format import age, size, utc
from core.settings import Settings
from core.setup import rotate
from core.setup.diagnose import ConnectionResult, diagnose
from core.setup.flow import Draft
from core.tasks import Progress
from core.ui import cards, work
from core.ui.cache import clear
from core.ui.page import shown
from core.ui.setup import results

RESTORE, ROTATE = "setup_restore", "setup_rotate"
ASKED = "setup_files_asked"
ROLE_WORDS = {"owner": "owner (migrations)", "runtime": "runtime (your bots)", "viewer": "viewer (this dashboard)"}


def show(draft: Draft, settings: Settings, *, rotation: bool = True) -> None:
    """Both files with their backups, and new passwords, behind one fold."""
    begun = any(state.tasks().latest(draft.task(name)) is not None for name in (RESTORE, ROTATE))
    pending = rotation and rotate.interrupted(settings)
    # Open as long as there is something to tell: folding it when the work ends would hide what it came to.
    with st.expander("Files and backups", icon=":material/history:", expanded=begun or pending):
        for path in (settings.env_local, settings.env_tradekeep):
            with shown():
                _file(path)
        _restored(draft)
        if rotation:
            st.divider()
            with shown():
                _rotation(draft, settings, pending)
    asked = st.session_state.get(ASKED)
    if asked == ROTATE:
        _ask_to_rotate(draft, settings)
    elif asked:
        _ask_to_restore(draft, *asked)


def _dismiss() -> None:
    st.session_state.pop(ASKED, None)


def _file(path: Path) -> None:
    """One file: its backups to choose from, and what restoring the chosen one would change."""
    st.markdown(f"**{cards.text(path.name)}** · :gray[{cards.text(path.parent)}]")
    kept = {backup.path: backup for backup in envfile.backups(path)}
    if not kept:
        cards.empty("No backups yet. Each change of the file keeps the version before it here.")
        return
    chosen = st.selectbox(
        f"Backup of {path.name}",
        list(kept),
        format_func=lambda at: f"{utc(kept[at].taken_at)} · {size(kept[at].size_bytes)}",  # an age would not stay
        key=f"setup_backup_{next(iter(kept)).name}",  # a newer version is offered first
        help="The newest first. 20 are kept, in .tradekeep-backups beside the file; only you can read them.",
    )
    change = envfile.restore_preview(path, chosen)
    alike = " Lines that look alike differ in the password, which is not shown." if "***" in change else ""
    found = f"What restoring it would change:{alike}" if change else "The same as the present file."
    st.caption(f"Kept {cards.text(age(kept[chosen].taken_at))}. {found}")
    if not change:
        return
    st.code(change, language="diff", wrap_lines=True)
    if st.button("Restore this backup", key=f"setup_restore_{path.name}", icon=":material/settings_backup_restore:"):
        st.session_state[ASKED] = (path, chosen)


@st.dialog("Restore this backup?", on_dismiss=_dismiss)
def _ask_to_restore(draft: Draft, path: Path, backup: Path) -> None:
    st.markdown(f"{cards.text(path)} becomes what it was before; the present version is kept as a backup, too.")
    with shown():
        st.code(envfile.restore_preview(path, backup) or "Nothing changes.", language="diff", wrap_lines=True)
    st.markdown(
        "A password in it may no longer be the server's. The connection is tested afterwards; if it fails, "
        "this page offers to repair it."
    )
    with st.container(horizontal=True):
        if st.button("Restore it", type="primary", key="setup_restore_yes"):
            _dismiss()
            _begin_restore(draft, path, backup)
            st.rerun()
        if st.button("Keep the present file", key="setup_restore_no"):
            _dismiss()
            st.rerun()


def _begin_restore(draft: Draft, path: Path, backup: Path) -> None:
    def run(progress: Progress) -> ConnectionResult | None:
        progress(0, 2, f"Restoring {path.name}")
        envfile.restore(path, backup)
        clear()
        progress(1, 2, "Testing the connection")
        config = state.settings().database
        result = diagnose(config) if config is not None else None
        state.refresh(3.0)
        return result

    state.tasks().forget(draft.task(RESTORE))
    work.begin(draft.task(RESTORE), f"Restoring {path.name}", run)


def _restored(draft: Draft) -> None:
    """What the last restoring came to."""
    task = work.ended(draft.task(RESTORE))
    if task is None or task.state != "done":
        return
    result = task.result
    if result is None:
        st.markdown(":material/info: Restored. No database is configured in it.")
    elif result.success:
        st.markdown(":green[:material/check_circle:] Restored, and the connection works. Restart your bots.")
    elif state.status().mode == "connected":  # repaired since
        state.tasks().forget(draft.task(RESTORE))
    else:
        st.markdown(
            ":red[:material/error:] Restored, but the connection does not work with it. Repair it with the buttons "
            "above, sign in again, or restore another backup."
        )
        results.connection_card(result)


def _rotation(draft: Draft, settings: Settings, pending: bool) -> None:
    """New passwords: a button, progress, and what they came to."""
    task = work.ended(draft.task(ROTATE))
    if work.running(draft.task(ROTATE)):
        return
    if task is not None and task.state == "done":
        st.markdown(
            f":green[:material/check_circle:] New passwords work: {cards.text(', '.join(task.result.roles))}. "
            f"{rotate.AFTERWARDS}"
        )
    if pending:
        st.markdown(":orange[:material/warning:] A rotation of passwords was interrupted. Finish it first.")
        if st.button("Finish the rotation", type="primary", key="setup_rotate_finish"):
            _begin_rotation(draft, settings, rotate.ROLES)
            st.rerun()
        return
    if settings.database is None:
        return
    st.markdown("Give the roles new generated passwords, on the server and in both files.")
    if st.button("Rotate passwords", key="setup_rotate", icon=":material/key:"):
        st.session_state[ASKED] = ROTATE


@st.dialog("New passwords?", on_dismiss=_dismiss)
def _ask_to_rotate(draft: Draft, settings: Settings) -> None:
    separate = settings.owner is not None or settings.viewer is not None
    roles: tuple[str, ...] = rotate.ROLES
    if separate:
        chosen = st.pills(
            "Roles", rotate.ROLES, selection_mode="multi", default=rotate.ROLES, format_func=ROLE_WORDS.__getitem__,
            key="setup_rotate_roles",
        )  # fmt: skip
        roles = tuple(chosen)
    st.markdown(
        "Each gets a new password, which is proved by signing in before the files get it. Backups of the files keep "
        "the old ones, which then open nothing."
    )
    st.markdown(rotate.AFTERWARDS)
    with st.container(horizontal=True):
        if st.button("Rotate", type="primary", key="setup_rotate_yes", disabled=not roles):
            _dismiss()
            _begin_rotation(draft, settings, roles)
            st.rerun()
        if st.button("Keep the present ones", key="setup_rotate_no"):
            _dismiss()
            st.rerun()


def _begin_rotation(draft: Draft, settings: Settings, roles: tuple[str, ...]) -> None:
    def run(progress: Progress) -> rotate.Rotated:
        try:
            return rotate.rotate(settings, roles=roles, progress=progress)
        finally:
            clear()
            state.refresh(3.0)

    state.tasks().forget(draft.task(ROTATE))
    work.begin(draft.task(ROTATE), "Rotating passwords", run)
