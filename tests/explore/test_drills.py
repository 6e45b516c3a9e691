"""The explorer's drills with a small n."""

from __future__ import annotations

from tests.drills.explorer import fuzz_explorer, runaway_view


def test_hostile_questions_add_no_statement_and_write_nothing() -> None:
    result = fuzz_explorer(120)
    assert result["ok"], result
    assert len(result["ended"]) > 3, "they end in many ways"


def test_a_view_that_never_ends_is_ended_by_the_server() -> None:
    """How little it holds up others is for the drill alone to judge: that is a matter of speed."""
    result = runaway_view(1)
    assert result["ended"] == {"transient.statement_timeout": 1}
    assert result["left"] == 0
