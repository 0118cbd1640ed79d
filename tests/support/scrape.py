"""/metrics as Prometheus reads it: one GET, parsed by prometheus_client's own parser.

Knows HTTP and the text format; asserts nothing of what is told."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

PREFIX = "lambda_sidecar_"


@dataclass(frozen=True)
class Scrape:
    """The samples of one moment, by name (without our prefix) and labels."""

    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float]

    def value(self, name: str, **labels: str) -> float:
        """One sample; a KeyError where there is none."""
        return self.samples[name, tuple(sorted(labels.items()))]

    def table(self, name: str) -> dict[tuple[str, ...], float]:
        """All samples of one name that are not 0, by their labels' values in the order of the labels' names."""
        return {
            tuple(value for _, value in labels): number
            for (sample, labels), number in self.samples.items()
            if sample == name and number
        }


def listener(port: int) -> dict[str, str]:
    """The table [metrics]."""
    return {"listen": f"127.0.0.1:{port}"}


def scrape(port: int) -> Scrape:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return Scrape(
        {
            (sample.name.removeprefix(PREFIX), tuple(sorted(sample.labels.items()))): sample.value
            for sample in samples
        }
    )
