"""Setup: how to get a working database from here."""

from core import state, ui
from core.setup import flow
from core.ui.setup import journey

ui.heading("Setup", "From nothing to a verified PostgreSQL with its own roles. Safe to run again at any time.")
status, settings, draft = state.status(), state.settings(), flow.draft()
connected = status.mode == "connected"
states = flow.steps(draft, settings.database, connected=connected, schema_ready=status.ready)
journey.project(settings)
if journey.local(draft):
    pass
elif draft.way == "server" and not (draft.written and status.ready):
    journey.flow_view(draft, states)
elif connected and status.ready:
    journey.done(draft, status, settings)
elif connected:
    journey.flow_view(draft, states)
elif settings.database is not None:
    journey.away(draft, status, settings)
else:
    journey.ways(draft, status)
journey.issues(settings.issues())
