"""Setup: how to get a working database from here."""

from core import state, ui
from core.setup import flow
from core.ui.setup import help, journey

ui.heading("Setup", "From nothing to a verified PostgreSQL with its own roles. Safe to run again at any time.")
settings, draft = state.settings(), flow.draft()
journey.project(settings)
if not journey.local(draft):
    journey.body(draft, state.status(), settings)
journey.issues(settings)
help.stuck(settings)
