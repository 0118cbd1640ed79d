"""The drawing of `make bench`: it says what is ours, in which unit, and which way is better, and stays readable.

Each test's name is the sentence that it proves."""

from __future__ import annotations

from itertools import combinations
from xml.etree import ElementTree

import pytest
from bench import plot
from bench.results import CaseRound, Results
from tests.support.checkout import ROOT

NAMES = sorted({case for panel in plot.PANELS for _, case, _ in panel.rows})
SVG = "{http://www.w3.org/2000/svg}"
ROLES = {str(size): role for role, size in plot.SIZES.items()}


def measured(*, spread: float = 1.5, scale: float = 1) -> Results:
    """Every case of the drawing; the round in between is the median."""
    results = Results()
    for number, name in enumerate(NAMES, 1):
        results.cases[name] = [
            CaseRound(
                1, value, value, value, value, value, dict.fromkeys(("sidecar", "mysqld", "client"), value)
            )
            for value in (number * scale / spread, number * scale, number * scale * spread)
        ]
    return results


def drawn(results: Results) -> ElementTree.Element:
    return ElementTree.fromstring(plot.svg(results))  # noqa: S314  our own


def texts(drawing: ElementTree.Element) -> list[str]:
    return [str(element.text) for element in drawing.iter(f"{SVG}text")]


Box = tuple[float, float, float, float]


def box(element: ElementTree.Element) -> Box:
    """Left, top, right and bottom, as wide as the text can be."""
    role = ROLES[element.attrib["font-size"]]
    width, height = plot.width(str(element.text), role), plot.SIZES[role]
    right = element.attrib["text-anchor"] == "end"
    left = float(element.attrib["x"]) - (width if right else 0)
    bottom = float(element.attrib["y"])
    return left, bottom - height, left + width, bottom


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize(("spread", "scale"), [(1.0, 1), (1.5, 100), (3.0, 10_000)])
def test_no_text_covers_another_or_leaves_the_drawing(spread: float, scale: float) -> None:
    drawing = drawn(measured(spread=spread, scale=scale))
    _, _, right, bottom = map(float, drawing.attrib["viewBox"].split())
    boxes = {str(element.text) + str(box(element)): box(element) for element in drawing.iter(f"{SVG}text")}
    assert len(boxes) > 40
    outside = [name for name, (x, y, x2, y2) in boxes.items() if x < 0 or y < 0 or x2 > right or y2 > bottom]
    assert outside == []
    assert [(a, b) for a, b in combinations(boxes, 2) if overlap(boxes[a], boxes[b])] == []


def test_it_has_a_title_and_a_legend_for_ours_and_theirs() -> None:
    drawing = drawn(measured())
    shown = texts(drawing)
    assert shown[0] == plot.TITLE
    for kind, text in plot.LEGEND.items():
        assert text in shown
        swatch, *bars = (element for element in drawing.iter(f"{SVG}rect") if element.get("class") == kind)
        assert (swatch.attrib["width"], swatch.attrib["height"]) == ("12", "12")
        assert bars, kind


def test_every_bar_has_its_value_with_a_unit_and_every_panel_says_which_way_is_better() -> None:
    drawing = drawn(measured())
    bars = [element for element in drawing.iter(f"{SVG}rect") if element.get("height") == "14"]
    values = [text for text in texts(drawing) if text.endswith((" µs", " ms", " calls/s"))]
    assert len(values) == len(bars) == sum(len(panel.rows) for panel in plot.PANELS)
    ways = [text.split(" ", 1)[1] for text in texts(drawing) if text.endswith("is better")]
    assert ways == [f"{panel.better} is better" for panel in plot.PANELS]


def test_what_was_not_measured_is_left_out() -> None:
    results = measured()
    for name in NAMES:
        if name != "sync/1":
            del results.cases[name]
    shown = texts(drawn(results))
    assert "lambda_sync" in shown and "boto3" not in shown
    assert plot.svg(Results()) == ""


def test_the_committed_drawing_is_of_this_shape() -> None:
    kept = ElementTree.parse(ROOT / "bench/results.svg").getroot()  # noqa: S314  our own
    said = [text for text in texts(drawn(measured())) if not text[0].isdigit() or "sessions" in text]
    assert [text for text in texts(kept) if not text[0].isdigit() or "sessions" in text] == said
