"""A storm in numbers, and in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.chaos.plan import Hit
from benchmarks.chaos.storm import Storm
from benchmarks.chaos.verdict import Verdict


def told(
    storm: Storm, verdict: Verdict, *, without: dict[Hit, str], machine: str, load: float, seed: int
) -> dict[str, Any]:
    """All of it, ready for JSON."""
    tally = storm.tally
    breaches = [*verdict.breaches(), *(f"stuck: {why}" for why in tally.stuck)]
    breaches += [f"not recovered: {why}" for why in tally.unrecovered]
    kinds = {
        str(hit): {"faults": n, "recovered": len(tally.recovered.get(hit, []))} | _spread(tally.recovered.get(hit, []))
        for hit, n in sorted(tally.injected.items())
    }
    return {
        "machine": machine,
        "load": load,
        "seed": seed,
        "store": "sqlite" if storm.made.as_up else "postgresql",
        "faults": sum(tally.injected.values()),
        "together": tally.together,
        "no_target": tally.no_target,
        "doomed_trainers": tally.poisoned,
        "storm_s": round(tally.storm_s),
        "wall_s": round(tally.wall_s),
        "kinds": kinds,
        "left_out": {str(hit): why for hit, why in without.items()},
        "runs": len(storm.asked),
        "ends": dict(sorted(verdict.ends.items())),
        "attempts": verdict.attempts,
        "resumed": verdict.resumed,
        "equal_to_undisturbed": verdict.equal,
        "breaches": breaches,
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    p50, p95, most = np.percentile(seconds, [50, 95, 100])
    return {"p50_s": round(float(p50), 1), "p95_s": round(float(p95), 1), "max_s": round(float(most), 1)}


def words(found: dict[str, Any]) -> str:
    lines = [
        f"{found['faults']} faults in {found['storm_s']} s on {found['store']} (seed {found['seed']})",
        f"{found['together']} struck while another was not over; {found['no_target']} found nothing to hit",
        f"{found['machine']}, load {found['load']:.1f} at the end",
        "",
        f"{'fault':<36}{'n':>6}{'recovered':>11}{'p50':>8}{'p95':>8}{'max':>8}  (seconds)",
    ]
    for kind, row in found["kinds"].items():
        spread = "".join(f"{row[name]:>8.1f}" if name in row else f"{'':>8}" for name in ("p50_s", "p95_s", "max_s"))
        lines.append(f"{kind:<36}{row['faults']:>6}{row['recovered']:>11}{spread}")
    lines += [f"{kind:<36}  left out: {why}" for kind, why in found["left_out"].items()]
    lines += [
        "",
        f"{found['runs']} runs in {found['attempts']} attempts, {found['resumed']} resumed from a checkpoint at last",
        f"{found['equal_to_undisturbed']} succeeded with the undisturbed result, bit for bit",
        f"{found['doomed_trainers']} trainers of doomed runs were killed or starved",
        *(f"  {n:>5}  {end}" for end, n in found["ends"].items()),
        "",
        f"{len(found['breaches'])} breaches",
        *(f"  {breach}" for breach in found["breaches"]),
    ]
    return "\n".join(lines)
