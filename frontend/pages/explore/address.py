"""Explore's view as the address bar holds it, so that a reload, a bookmark or a colleague sees the same."""

from __future__ import annotations

import math

from core.report.charts.axes import GROUPINGS, X_AXES, Y_AXES
from core.schemas.catalog import Catalog
from core.schemas.run import Kind
from core.schemas.stages import MOST_STEPS
from frontend.keys import Key
from frontend.parts import address, lens_address
from frontend.parts.address import Part, flag, number, one_of

ALL = "all"  # in place of a data set's name


def parts(catalog: Catalog, dataset: str) -> dict[str, Part]:
    """Name in the address -> what it stands for; `dataset` is the one shown where the address names none."""
    return {
        "dataset": Part(key=Key.EXPLORE_DATASET, default=dataset, read=one_of([ALL, *catalog.plotted])),
        **lens_address.parts(catalog),
        "x": Part(key=Key.EXPLORE_X, default="energy", read=one_of(X_AXES)),
        "y": Part(key=Key.EXPLORE_Y, default="accuracy", read=one_of(Y_AXES)),
        "log": Part(key=Key.EXPLORE_LOG, default=True, read=flag),
        "colour": Part(key=Key.EXPLORE_COLOUR, default="family", read=one_of(GROUPINGS)),
        "shape": Part(key=Key.EXPLORE_SHAPE, default="kind", read=one_of(GROUPINGS)),
        "seeds": Part(key=Key.EXPLORE_SEEDS, default=False, read=flag),
        "steps": Part(key=Key.EXPLORE_STEPS, default=0, read=lambda text: number(text, range(1, MOST_STEPS + 1))),
        "at_most": Part(key=Key.EXPLORE_AT_MOST, default=None, read=_positive),
        **{
            name: Part(key=Key.EXPLORE_FILTER.of(name), default=None, read=lambda text: text[:512])
            for name in ("backbone", "recipe", "tag", "mask")
        },
        "kind": Part(key=Key.EXPLORE_FILTER.of("kind"), default=None, read=one_of([kind.value for kind in Kind])),
        "archived": Part(key=Key.EXPLORE_ARCHIVED, default=False, read=flag),
        "hide": Part(key=Key.EXPLORE_HIDDEN, default=[], read=lambda text: text.split(";")[:40], say=";".join),
        "sure": Part(key=Key.EXPLORE_SURE, default=False, read=flag),
    }


def _positive(text: str) -> float | None:
    """A number above 0, or None where the text is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def adopt(catalog: Catalog, dataset: str) -> None:
    """Before the widgets; see `frontend.parts.address`."""
    address.adopt(parts(catalog, dataset), last=Key.EXPLORE_ADDRESS, kept=("dataset", *lens_address.KEPT))


def write(catalog: Catalog, dataset: str) -> None:
    """After the widgets: the address of what is shown, which always names the data set."""
    address.write(parts(catalog, dataset), last=Key.EXPLORE_ADDRESS, always=("dataset",), alone=True)
