"""Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format (version 0.0.4)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One line; `suffix` is that of a histogram's parts."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""


@dataclass(frozen=True, kw_only=True)
class Family:
    """All samples of one name."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    samples: Iterable[Sample]


def exposition(families: Iterable[Family]) -> str:
    """What a scrape gets. A family without a sample is left out: nothing known is not nothing there."""
    lines = []
    for one in families:
        assert NAME.fullmatch(one.name), one.name
        samples = list(one.samples)
        if samples:
            lines += [f"# HELP {one.name} {_escaped(one.help)}", f"# TYPE {one.name} {one.kind}"]
            lines += [f"{one.name}{sample.suffix}{_labels(sample.labels)} {number(sample.value)}" for sample in samples]
    return "\n".join([*lines, ""])


def number(value: float) -> str:
    """As Go reads it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def _labels(labels: Mapping[str, str]) -> str:
    assert all(NAME.fullmatch(name) for name in labels), labels
    told = ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels.items())
    return f"{{{told}}}" if told else ""


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text
