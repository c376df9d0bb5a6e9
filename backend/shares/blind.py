"""What keeps a link from telling more than was shared.

Runs, sweeps and hashes that stand in a content take names by their place. A double-blind link loses besides all that
tells who made it, when, where and on what machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from safetensors.numpy import load, save

from core.errors import NotFound
from core.schemas.base import Frozen
from core.schemas.pareto import Pareto
from core.schemas.prices import Profile

ID = re.compile(r'"[0-9a-f]{16}"')  # of a run, and the hashes that say which are alike
OWN_PROFILE = "own-profile"

#: What a double-blind share leaves out, wherever it stands, and what stands in its place.
IDENTIFYING: dict[str, Any] = {
    "device": None, "train_wall_s": None, "train_images_per_s": None, "evaluate_wall_s": None, "wall_s": [],
    "shared_at": None, "expires_at": None, "finished_at": None, "version": None, "title": None, "data_digest": None,
    "counter_version": None, "own_name": None, "recounted_images": None, "recounted_equal": None,
}  # fmt: skip

Model = TypeVar("Model", bound=Frozen)


def without_identity(value: Any) -> Any:
    """JSON with everything in IDENTIFYING blanked, at any depth, but for a profile's own title."""
    if isinstance(value, dict):
        return {
            name: part if name == "prices" else IDENTIFYING[name] if name in IDENTIFYING else without_identity(part)
            for name, part in value.items()
        }
    return [without_identity(part) for part in value] if isinstance(value, list) else value


def without_own_profile(content: Any, name: str, *, known: Mapping[str, Profile]) -> Any:
    """JSON in which the hardware profile `name`, which its maker wrote, has no name and no words: its prices stay.

    `known`: profiles that everybody has. What they do not price has a name of its maker's own, and goes with it.
    """
    if isinstance(content, list):
        return [without_own_profile(part, name, known=known) for part in content]
    if not isinstance(content, dict):
        return content
    blank: dict[str, Any] = {
        key: OWN_PROFILE if key == "profile" and value == name else without_own_profile(value, name, known=known)
        for key, value in content.items()
    }
    if prices := blank.get("prices"):
        priced = {constant for profile in known.values() for constant in profile.constants}
        words = {"name": OWN_PROFILE, "title": "A profile of the makers' own", "source": "withheld: double-blind"}
        blank["prices"] = (
            prices
            | words
            | {
                "process": "",
                "status": "",
                "mac_from": prices["mac_from"] if prices["mac_from"] in known else None,
                "constants": [one | {"source": ""} for one in prices["constants"] if one["name"] in priced],
            }
        )
    return blank


def without_metadata(safetensors: bytes) -> bytes:
    """The same tensors without the free text that the header of a safetensors file may hold."""
    return save(load(safetensors))


def names(run_ids: Iterable[str]) -> dict[str, str]:
    """Id of each run -> its name by its place: run-1, run-2, ..."""
    return {run_id: f"run-{place}" for place, run_id in enumerate(run_ids, 1)}


def renamed(model: type[Model], content: Model, names: Mapping[str, str]) -> Model:
    """`content` with every run id, wherever it stands, replaced by the run's name. Raises NotFound for an id
    without a name: it belongs to a run that was not shared."""

    def name(found: re.Match[str]) -> str:
        run_id = found[0].strip('"')
        if run_id not in names:
            raise NotFound(kind="shared run", id=run_id)
        return f'"{names[run_id]}"'

    return model.model_validate_json(ID.sub(name, content.model_dump_json()))


def renamed_plot(plot: Pareto, *, with_sweeps: bool) -> Pareto:
    """A plot of runs named by their place, without tags; its hashes named so that equal ones stay equal.

    `with_sweeps`: the last sweep of each run stays, as a number. Numbers have the order of the ids that they stand
    for, since the order of their names gives sweeps their colours.
    """
    sweeps = sorted({point.sweep_ids[-1] for point in plot.points if point.sweep_ids})
    number = {sweep: f"{place:0{len(str(len(sweeps)))}d}" for place, sweep in enumerate(sweeps, 1)}
    points = [
        point.model_copy(
            update={"tags": [], "sweep_ids": [number[last] for last in point.sweep_ids[-1:]] if with_sweeps else []}
        )
        for point in plot.points
    ]
    alike = dict.fromkeys(value for point in points for value in (point.repeat, point.twin))
    known = names(point.run_id for point in points) | {
        value: f"alike-{place}" for place, value in enumerate(alike, 1) if value
    }
    return renamed(type(plot), plot.model_copy(update={"points": points}), known)
