"""What a GPU makes of it: first whether it computes the same, then how fast, in under ten minutes.

1. The same? Outputs, gradients and counts of a training step on the GPU against the CPU's; steps played from a recording
   against steps as they come; neurons in Triton against plain torch; a stack's step against its runs alone.
2. A training step at batch 8 and 512 against SpikingJelly's multi-step mode, with its neurons in plain torch, in Triton, and as
   it chooses itself; and the peak of memory of each.
3. 45 runs in one stack against the same steps one run after another, at batch 8.

SNN-SqueezeNet with all Fire modules, 32x32, T = 4, Adam. Nothing else should use the GPU. A difference above its bound ends
with exit code 1, before anything is timed. Without a GPU, or with --small, a small network goes the same way on the CPU: its
checks count, its times say nothing of a GPU, whose every figure is "unmeasured".

    python -m benchmarks.gpu [--small] [--json] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from benchmarks.gpu_contenders import go_on, ours, place, spikingjelly, stacked, trainers
from benchmarks.harness import Comparison, Factory, compare, report

UNMEASURED = "unmeasured"


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is trained. `runs`: members of the stack."""

    mask: str
    steps: int
    batches: tuple[int, ...]
    runs: int
    rounds: int


WHOLE = Size(mask="Full", steps=4, batches=(8, 512), runs=45, rounds=15)
SMALL = Size(mask="F9", steps=2, batches=(8,), runs=3, rounds=2)


@dataclass(frozen=True, kw_only=True)
class Check:
    """How far two ways to compute the same are apart, relative to the largest value; None where it could not be looked at."""

    name: str
    away: float | None
    bound: float
    why: str = ""

    @property
    def fails(self) -> bool:
        return self.away is not None and not self.away <= self.bound


# -- whether it is the same -------------------------------------------------------------------------------------------


def away(found: Any, expected: Any) -> float:
    """The largest difference, relative to the largest value."""
    found, expected = (value.detach().double().cpu() for value in (found, expected))
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def same_as_cpu(size: Size) -> list[Check]:
    """Outputs, gradients and counts of the device against those of the CPU's compiled kernels."""
    import torch

    from core.engine.count import Counter
    from core.engine.train import Trainer

    device, cpu = place(), torch.device("cpu")
    own, other = (
        trainers(Trainer, mask=size.mask, steps=size.steps, batch=8, runs=1, device=where)[0] for where in (cpu, device)
    )
    other.network.fused = False  # on the CPU too, so that two ways are compared
    for trainer in (own, other):
        for module in trainer.network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0  # running statistics of this batch, so that every layer fires in the evaluation
        trainer._learn(trainer._batches.draw(1, 0).to(trainer._device))
    gradients = [
        away(theirs.grad, value.grad)
        for (name, value), theirs in zip(own.network.named_parameters(), other.network.parameters(), strict=True)
        if not (name.endswith("conv.bias") and float(value.grad.abs().max()) == 0)  # 0 but for rounding
    ]
    found = []
    for trainer in (own, other):
        trainer.network.eval()
        x = trainer._normalise(trainer.splits.test.images)
        with torch.inference_mode(), Counter(trainer.network) as counter:
            outputs = trainer.network(x)
        found.append((outputs, counter.counts(len(x))))
    (ours_out, ours_counts), (theirs_out, theirs_counts) = found
    operations = [
        [sum(layer.ac) + sum(layer.mac) for layer in counts.layers] for counts in (ours_counts, theirs_counts)
    ]
    counted = away(torch.tensor(operations[1]), torch.tensor(operations[0]))
    where = device.type
    return [
        Check(name=f"outputs, {where} against cpu", away=away(theirs_out, ours_out), bound=1e-3),
        Check(name=f"gradients, {where} against cpu", away=max(gradients), bound=1e-3),
        Check(name=f"counted operations, {where} against cpu", away=counted, bound=1e-4),
    ]


def same_when_played(size: Size) -> Check:
    """Steps from a recording against steps as they come, over eight of them."""
    import torch

    from core.engine.graphs import WARM
    from core.engine.train import Trainer
    from core.schemas.on_gpu import OnGpu

    name, device = "weights after 8 steps, played from a recording", place()
    if device.type != "cuda":
        return Check(name=name, away=None, bound=1e-5, why="only a GPU plays graphs")
    weights = []
    for graphs in (False, True):
        (trainer,) = trainers(
            Trainer, mask=size.mask, steps=size.steps, batch=8, runs=1, device=device, on_gpu=OnGpu(graphs=graphs)
        )
        for _ in range(8):
            trainer._train_step()
            go_on(trainer)
        if graphs and trainer._tape.recorded != 1:
            return Check(name=name, away=float("inf"), bound=1e-5, why=f"nothing was recorded after {WARM} steps")
        weights.append(torch.cat([value.flatten() for value in trainer.network.parameters()]))
    return Check(name=name, away=away(weights[1], weights[0]), bound=1e-5)


def same_in_a_stack(size: Size, *, triton: bool) -> Check:
    """The loss and gradient norms of each member's first step against those of the run alone."""
    import torch

    from core.engine.fast.triton_there import triton_norm
    from core.engine.stacked.member import Member
    from core.engine.stacked.train import Stack
    from core.engine.train import Trainer
    from core.schemas.on_gpu import OnGpu

    device = place()
    name = f"first step of 3 runs in a stack{', neurons in Triton' if triton else ''}"
    if triton and triton_norm(device, wanted=True) is None:
        return Check(name=name, away=None, bound=1e-3, why="Triton's kernels cannot run here")
    told = {"mask": size.mask, "steps": size.steps, "batch": 8, "runs": 3, "device": device}
    alone, members = trainers(Trainer, **told), trainers(Member, **told)
    for trainer in alone:
        trainer._train_step()
    Stack(members, device, on_gpu=OnGpu(triton=triton)).step()
    noted = [torch.stack([torch.cat([one._loss_S[:1], one._norm_SL[0]]) for one in each]) for each in (members, alone)]
    return Check(name=name, away=away(*noted), bound=1e-3)


# -- how fast ---------------------------------------------------------------------------------------------------------


def _try(pipe: Any, factory: Factory, options: dict[str, Any]) -> None:
    """In a process of its own: the peak of device memory over three steps in bytes, or why there is none."""
    try:
        work = factory(**options)
        for _ in range(3):
            work()
        import torch

        pipe.send((torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None, None))
    except Exception as error:  # noqa: BLE001  a contender that cannot run here must not end the others
        pipe.send((None, f"{type(error).__name__}: {error}"[:200]))


def tried(contenders: dict[str, Factory], **options: Any) -> dict[str, tuple[int | None, str | None]]:
    """Each contender once: bytes at its peak, and what hinders it."""
    context = multiprocessing.get_context("spawn")
    found = {}
    for name, factory in contenders.items():
        mine, theirs = context.Pipe()
        process = context.Process(target=_try, args=(theirs, factory, options), daemon=True)
        process.start()
        theirs.close()
        try:
            found[name] = mine.recv()
        except EOFError:
            found[name] = (None, "its process died")
        process.join(timeout=20)
    return found


def timed(title: str, contenders: dict[str, Factory], *, images: int, rounds: int, **options: Any) -> tuple[Any, dict]:
    """A comparison of those that can run here, and what each tried at first; None where the first cannot."""
    peaks = tried(contenders, **options)
    able = {name: factory for name, factory in contenders.items() if peaks[name][1] is None}
    if next(iter(contenders)) not in able:
        return None, peaks
    return compare(title, able, images=images, rounds=rounds, threads=1, warm_up=6, **options), peaks


def steps_compared(size: Size, batch: int, rounds: int) -> tuple[Any, dict]:
    contenders: dict[str, Factory] = {
        "SpikingJelly, torch": partial(spikingjelly, implementation="torch"),
        "SpikingJelly, Triton": partial(spikingjelly, implementation="triton"),
        "SpikingJelly, its choice": partial(spikingjelly, implementation="auto"),
        "spikefront": partial(ours, graphs=False),
        "spikefront, recorded": partial(ours, graphs=True),
        "spikefront, recorded, Triton": partial(ours, graphs=True, triton=True),
    }
    if place().type != "cuda":  # where its neurons have one way only, and nothing is recorded
        contenders = {name: contenders[name] for name in ("SpikingJelly, torch", "spikefront")}
    return timed(
        f"Training step, batch {batch}", contenders, images=batch, rounds=rounds, mask=size.mask, steps=size.steps,
        batch=batch,
    )  # fmt: skip


def stack_compared(size: Size, rounds: int) -> tuple[Any, dict]:
    runs = size.runs
    contenders: dict[str, Factory] = {
        "one after another": partial(ours, graphs=False, times=runs),
        "one after another, recorded": partial(ours, graphs=True, times=runs),
        "stacked": partial(stacked, runs=runs, graphs=False, triton=False),
        "stacked, recorded": partial(stacked, runs=runs, graphs=True, triton=False),
        "stacked, recorded, Triton": partial(stacked, runs=runs, graphs=True, triton=True),
    }
    if place().type != "cuda":
        contenders = {name: contenders[name] for name in ("one after another", "stacked")}
    return timed(
        f"A step of each of {runs} runs, batch 8", contenders, images=8 * runs, rounds=rounds, mask=size.mask,
        steps=size.steps, batch=8,
    )  # fmt: skip


# -- what is said -----------------------------------------------------------------------------------------------------


def described() -> str:
    """The GPU, or that there is none."""
    import torch

    if not torch.cuda.is_available():
        return f"no GPU: every figure of one is {UNMEASURED}"
    about = torch.cuda.get_device_properties(0)
    return (
        f"{about.name}, {about.total_memory / 2**30:.0f} GiB, compute {about.major}.{about.minor}, "
        f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, torch {torch.__version__}"
    )


def tell(checks: list[Check], found: list[tuple[Comparison | None, dict]], seconds: float) -> None:
    """For people."""
    print(described())
    for check in checks:
        if check.away is None:
            print(f"  -      {check.name}: {UNMEASURED} ({check.why})")
        else:
            print(f"  {'FAILS' if check.fails else 'same '}  {check.name}: {check.away:.2e}, bound {check.bound:.0e}")
    for comparison, peaks in found:
        if comparison is not None:
            report([comparison], as_json=False)
        for name, (peak, why) in peaks.items():
            memory = UNMEASURED if peak is None else f"{peak / 2**20:,.0f} MiB"
            print(f"  {name:<28}peak memory of the GPU {memory}" + (f"; {why}" if why else ""))
    print(f"{seconds:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a small network, few rounds: whether the way works")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int)
    arguments = parser.parse_args()
    began = time.monotonic()
    size = SMALL if arguments.small or place().type != "cuda" else WHOLE
    rounds = arguments.rounds or size.rounds
    checks = [
        *same_as_cpu(size), same_when_played(size), same_in_a_stack(size, triton=False),
        same_in_a_stack(size, triton=True),
    ]  # fmt: skip
    failed = any(check.fails for check in checks)
    found = [] if failed else [steps_compared(size, batch, rounds) for batch in size.batches]
    found += [] if failed else [stack_compared(size, rounds)]
    seconds = time.monotonic() - began
    if arguments.json:
        print(
            json.dumps(
                {
                    "device": described(),
                    "checks": [asdict(check) for check in checks],
                    "comparisons": [None if one is None else asdict(one) for one, _ in found],
                    "peaks": [peaks for _, peaks in found],
                    "gpu": UNMEASURED if place().type != "cuda" else "measured",
                },
                indent=1,
            )
        )
    else:
        tell(checks, found, seconds)
    if failed:
        sys.exit("the GPU does not compute the same: nothing was timed")


if __name__ == "__main__":
    main()
