"""The soak, for some seconds, and its verdict: what grows is named, and drawn.

Each test's name is the sentence that it proves. `make soak T=60` runs it for an hour."""

from __future__ import annotations

import statistics
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.soak import plot
from tests.soak.figures import LIMITS, Figures
from tests.soak.run import FEWEST_SAMPLES, UPGRADES, soak

SEED = 15


def test_mixed_sql_kills_exchanged_components_and_upgrades_go_together(
    mysql_home: Path, tmp_path: Path
) -> None:
    done = soak(mysql_home, tmp_path, 8, SEED, rest=1)
    assert set(done.statements) == {
        *("sync", "async", "invoke", "procedure", "trigger", "outbox", "map", "batch", "large", "refused")
    }
    assert set(done.operations) == {"KILL", "INSTALL COMPONENT", "upgrade of the sidecar"}
    assert done.operations["upgrade of the sidecar"] == UPGRADES
    # A session that is killed calls no longer; what fails besides is what is meant to.
    assert sum(done.failed.values()) < done.calls / 10, done
    assert done.figures.fewest >= FEWEST_SAMPLES
    assert len(done.figures.rests) == 2
    drawn = ElementTree.fromstring(plot.svg(done.figures, "some seconds"))  # noqa: S314  our own
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}polyline"))) == len(LIMITS)


def figures(**slopes: float) -> Figures:
    """Ten minutes; everything is 100 at first, rises by 50 in the first half, and by its slope in the second."""
    made = Figures()
    made.rests = [dict.fromkeys(LIMITS, 30.0), {name: 30 + slopes.get(name, 0.0) for name in LIMITS}]
    for second in range(0, 600, 2):
        rise = 50 * min(second, 300) / 300
        later = max(0, second - 300) / 300
        made.add(float(second), {name: 100 + rise + slopes.get(name, 0.0) * later for name in LIMITS})
    return made


def test_what_grows_in_the_first_half_alone_is_warm_and_no_more() -> None:
    assert figures().grown() == []


@pytest.mark.parametrize(
    ("name", "slope"),
    [(name, limit.growth * (150 if limit.is_part else 1)) for name, limit in LIMITS.items()],
)
def test_what_grows_by_more_than_it_may_in_the_second_half_is_named(name: str, slope: float) -> None:
    assert figures(**{name: 0.8 * slope}).grown() == []
    assert figures(**{name: 1.5 * slope}).grown() == [name]


def test_of_what_was_hardly_measured_nothing_is_told() -> None:
    made = Figures()
    made.add(0.0, {"mysqld, MB": 100.0})
    assert made.fewest == 0
    with pytest.raises(statistics.StatisticsError):
        made.growth("mysqld, MB")


def test_descriptors_that_come_and_go_have_not_grown_and_those_that_are_left_without_load_have() -> None:
    made = figures()
    for second in range(0, 600, 2):
        made.rows["sidecar, descriptors"].append((float(second), 100.0 + second % 7 * second / 60))
    assert made.grown() == []
    made.rests[-1]["sidecar, descriptors"] += 6
    assert made.grown() == ["sidecar, descriptors"]
