"""The page about rights is the table of rights, and what it says is what the setup grants."""

from __future__ import annotations

from pathlib import Path

from core.setup.permissions import MEANT, page
from core.setup.rights import matrix

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_current() -> None:
    assert (DOCS / "permissions.md").read_text("utf-8") == page()


def test_every_right_has_a_feature_and_somebody_who_is_meant_to_have_it() -> None:
    row = dict.fromkeys(
        ("schema_usage", "monitor", "schema_create", "database_create", "temporary", "create_database", "create_role"),
        False,
    )
    for right in matrix(row | {"database": "d", "role": "r", "tables": []}):
        assert right.feature, right.name
        assert right.role in MEANT, right.name
        assert right.grant.endswith(";"), right.name
