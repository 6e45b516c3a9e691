"""The page's fixtures: an isolated project, and the process's state begun anew."""

from tests.ui.conftest import configured, project, visit, when

__all__ = ["configured", "project", "visit", "when"]
