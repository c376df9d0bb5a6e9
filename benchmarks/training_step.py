"""How many times faster than others is our training step of the spiking SqueezeNet on a CPU, and how near to its bound?

In turn: ours, as the trainer runs it; SpikingJelly's multi-step mode; snnTorch's loop, where it is installed; the network's
dense convolutions alone, which no exact way of training with dense convolutions undercuts; ours with neurons that
count. First ours and SpikingJelly's must give the same outputs and gradients. Last come the goals beside what was
measured.

    python -m benchmarks.training_step [--small] [--json] [--rounds N] [--threads N] [--batch N ...] [--compiled]

`--compiled` adds SpikingJelly under torch.compile: minutes of compiling for each batch size, and a C++ compiler.
"""

from __future__ import annotations

from importlib.util import find_spec

from benchmarks import training_contenders as contenders
from benchmarks.harness import Comparison, batch_parser, compare, report

STEPS, BATCHES = 4, (8, 32, 128)
OURS, JELLY, COMPILED, TORCH = "spikefront", "SpikingJelly multi-step", "SpikingJelly compiled", "snnTorch's loop"
DENSE, COUNTS = "its dense convolutions", "spikefront, counts"
#: Of each: what is asked for, the goal, and whether ours is to be faster by it, or the other faster than ours.
GOALS = (
    (JELLY, "against SpikingJelly multi-step", 4.5, True),
    (COMPILED, "against it compiled", 1.8, True),
    (TORCH, "against snnTorch's loop", 5.0, True),
    (DENSE, "against its dense convolutions alone", 0.75, True),
    (COUNTS, "counts against spikes", 3.0, False),
)
SAVED_GOAL = 0.2


def told(found: Comparison, saved: float) -> list[str]:
    """A line for each goal."""
    results = {result.name: result for result in found.results}
    lines = [f"batch {found.options['batch']}: {'':<38}measured (quartiles)   goal"]
    for name, title, goal, is_ours in GOALS:
        if name not in results:
            lines.append(f"  {title:<44}unmeasured             >= {goal}")
            continue
        ratio, (low, high) = results[name].speed_ratio, results[name].speed_ratio_quartiles
        if is_ours:
            ratio, low, high = 1 / ratio, 1 / high, 1 / low
        lines.append(f"  {title:<44}{ratio:.2f} ({low:.2f} to {high:.2f})    >= {goal}")
    lines.append(f"  {'saved bytes an image over SpikingJelly':<44}{saved:.2f}                   <= {SAVED_GOAL}")
    return lines


def main() -> None:
    parser = batch_parser(__doc__, BATCHES)
    parser.add_argument("--compiled", action="store_true", help="SpikingJelly under torch.compile too: minutes more")
    arguments = parser.parse_args()
    taking_part = {OURS: contenders.spikefront, JELLY: contenders.spikingjelly, DENSE: contenders.dense}
    taking_part |= {COUNTS: contenders.counts}
    if find_spec("snntorch") is not None:
        taking_part |= {TORCH: contenders.snntorch}
    if arguments.compiled:
        taking_part |= {COMPILED: contenders.spikingjelly_compiled}
    made: list[Comparison] = []
    for batch in arguments.batch or (BATCHES[:1] if arguments.small else BATCHES):
        same, saved = contenders.check(batch, STEPS)
        found = compare(
            "Training step of SNN-SqueezeNet, 32x32",
            taking_part,
            images=batch,
            rounds=arguments.rounds or (5 if arguments.small else 30 if batch < 128 else 9),
            threads=arguments.threads,
            batch=batch,
            steps=STEPS,
        )
        made.append(found)
        if not arguments.json:
            report([found], as_json=False)
            print("\n".join((f"  {same}", *told(found, saved))), flush=True)
    if arguments.json:
        report(made, as_json=True)


if __name__ == "__main__":
    main()
