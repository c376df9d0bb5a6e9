"""A sweep that has run, made of numbers alone."""

from __future__ import annotations

from core.analysis.aggregate import aggregate
from core.recipes.sweep import expand
from core.schemas.request import RunRequest
from core.schemas.run import RunState
from core.schemas.sweep import SweepDetail, SweepGroup, SweepRequest


def swept(axes: dict, accuracy, *, energy=lambda values, seed: 1e6, seeds=(0, 1)) -> SweepDetail:
    """`accuracy` and `energy` of a combination's values and a seed; None for a run that has not ended."""
    base = {"dataset": "digits", "recipe": "smoke"}
    request = SweepRequest(name="a sweep", base=RunRequest(**base), axes={**axes, "seed": list(seeds)})
    groups, n = [], 0
    for point in expand(request.model_copy(update={"axes": {**axes, "seed": [seeds[0]]}})):
        values = {
            key: ",".join(one) if isinstance(one, list) else one for key, one in point.values.items() if key != "seed"
        }
        right = [accuracy(values, seed) for seed in seeds]
        cost = [None if right[i] is None else energy(values, seed) for i, seed in enumerate(seeds)]
        done = [one for one in right if one is not None]
        paid = [one for one in cost if one is not None]
        ids = [f"{n + place:016x}" for place in range(len(seeds))]
        n += len(seeds)
        groups.append(
            SweepGroup(
                label=", ".join(["SNN-SqueezeNet", *(f"{key} {one}" for key, one in values.items())]), values=values, config=point.config, run_ids=ids,
                seeds=list(seeds), states={RunState.SUCCEEDED: len(done)}, n=len(done), accuracy=aggregate(done),
                f1_macro=aggregate(done), energy_pj=aggregate(paid), params=aggregate([10.0] * len(done)),
                firing_rate=None, run_accuracy=right, run_energy_pj=cost,
            )
        )  # fmt: skip
    states = {RunState.SUCCEEDED: sum(group.n for group in groups)}
    return SweepDetail(
        id="5" * 16, name="a sweep", created_at="2026-01-01T00:00:00Z", request=request, n_runs=n, states=states,
        mode="exact", profile="horowitz-45nm", groups=groups,
    )  # fmt: skip
