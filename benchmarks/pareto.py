"""How fast is the Pareto front of many drawn points, of two objectives and of three, beside Optuna's?

Both must keep the same points, or nothing is timed. Points are drawn in two ways: evenly in a cube, where few are kept, and
near a sphere, where objectives trade against each other as accuracy and energy do, and many are. Goals at 100,000 points: 3 times Optuna with two objectives, 30 times
with three.

    python -m benchmarks.pareto [--small] [--json] [--points N] [--rounds N]
"""

from __future__ import annotations

import argparse

import numpy as np
from optuna.study._multi_objective import _is_pareto_front

from benchmarks.harness import Comparison, in_turn, report
from core.analysis.pareto import front, front_of_two_costs

GOALS = {2: 3.0, 3: 30.0}


def drawn(points: int, objectives: int, *, traded: bool) -> np.ndarray:
    """[points, objectives] losses in [0, 1]."""
    dice = np.random.default_rng(0)
    if not traded:
        return dice.random((points, objectives))
    directions = np.abs(dice.standard_normal((points, objectives)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return 1 - directions * dice.uniform(0.9, 1.0, (points, 1))


def compared(points: int, objectives: int, rounds: int, *, traded: bool) -> Comparison:
    """Optuna's function on losses against ours on the same costs and values."""
    costs = drawn(points, objectives, traded=traded)
    own = (*costs.T[:-1], -costs[:, -1])
    ours = front if objectives == 2 else front_of_two_costs
    kept = ours(*own)
    if not np.array_equal(kept, _is_pareto_front(costs, assume_unique_lexsorted=False)):
        raise SystemExit(f"the fronts of {objectives} objectives differ")
    return in_turn(
        f"Pareto front of {objectives} objectives (goal: {GOALS[objectives]:g} times Optuna at 100,000 points)",
        {"Optuna": lambda: _is_pareto_front(costs, assume_unique_lexsorted=False), "spikefront": lambda: ours(*own)},
        images=points,
        rounds=rounds,
        unit="points",
        drawn="near a sphere" if traded else "in a cube",
        points=points,
        kept=int(kept.sum()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="10,000 points, few rounds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--points", type=int)
    parser.add_argument("--rounds", type=int)
    arguments = parser.parse_args()
    points = arguments.points or (10_000 if arguments.small else 100_000)
    rounds = arguments.rounds or (3 if arguments.small else 9)
    found = [compared(points, number, rounds, traded=traded) for number in GOALS for traded in (False, True)]
    report(found, as_json=arguments.json)


if __name__ == "__main__":
    main()
