"""The theme in .streamlit/config.toml: complete in both schemes, readable, from local files."""

from __future__ import annotations

import tomllib
from itertools import combinations

import pytest

from tests.browser.harness import ROOT

THEME = tomllib.loads((ROOT / ".streamlit/config.toml").read_text("utf-8"))["theme"]
TONES = ("red", "orange", "yellow", "green", "blue", "violet", "gray")
TEXT, GRAPHIC = 4.5, 3.0  # WCAG 2.2 AA: 1.4.3 and 1.4.11

both = pytest.mark.parametrize("scheme", ["light", "dark"])


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2, 1 to 21."""
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def test_both_schemes_set_the_same_options() -> None:
    light, dark = THEME["light"], THEME["dark"]
    assert light.keys() == dark.keys()
    assert light["sidebar"].keys() == dark["sidebar"].keys()


@both
def test_text_is_readable(scheme: str) -> None:
    colours = THEME[scheme]
    grounds = [colours["backgroundColor"], colours["secondaryBackgroundColor"], *colours["sidebar"].values()]
    pairs = [(colours[name], ground) for name in ("textColor", "linkColor") for ground in grounds[:4]]
    pairs += [(colours["codeTextColor"], colours["codeBackgroundColor"])]
    pairs += [(colours["dataframeHeaderTextColor"], colours["dataframeHeaderBackgroundColor"])]
    pairs += [("#ffffff", colours["primaryColor"])]
    for tone in TONES:
        pairs += [(colours[f"{tone}TextColor"], colours[f"{tone}BackgroundColor"])]
        pairs += [(colours[f"{tone}TextColor"], colours["backgroundColor"])]
    assert {pair: round(contrast(*pair), 2) for pair in pairs if contrast(*pair) < TEXT} == {}


@both
def test_lines_and_controls_are_visible(scheme: str) -> None:
    colours = THEME[scheme]
    marks = [*colours["chartCategoricalColors"], colours["primaryColor"], *(colours[f"{tone}Color"] for tone in TONES)]
    assert {mark for mark in marks if contrast(mark, colours["backgroundColor"]) < GRAPHIC} == set()


@both
def test_palettes_have_the_length_that_is_needed_and_no_twins(scheme: str) -> None:
    colours = THEME[scheme]
    assert len(colours["chartSequentialColors"]) == len(colours["chartDivergingColors"]) == 10
    for one, other in combinations(colours["chartCategoricalColors"], 2):
        distance = sum((int(one[i : i + 2], 16) - int(other[i : i + 2], 16)) ** 2 for i in (1, 3, 5)) ** 0.5
        assert distance > 50, (one, other)


@both
def test_the_one_accent_is_the_first_chart_colour(scheme: str) -> None:
    colours = THEME[scheme]
    assert colours["chartCategoricalColors"][0] == colours["blueColor"]
    assert colours["primaryColor"] in colours["chartSequentialColors"]


def test_fonts_are_local_files_with_their_licence() -> None:
    for face in THEME["fontFaces"]:
        path = ROOT / face["url"].removeprefix("app/")
        assert path.read_bytes()[:4] == b"wOF2"
        family = face["family"].lower().replace(" ", "-")
        assert "SIL OPEN FONT LICENSE" in (path.parent / f"LICENSE-{family}.txt").read_text("utf-8").upper()
