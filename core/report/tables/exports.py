"""A run's figures as text for elsewhere: a CSV row, a LaTeX row, BibTeX; plain data, no Streamlit."""

from __future__ import annotations

from typing import Any

from core.datasets.catalog import title_of
from core.report.tables.compare_latex import text
from core.schemas.bill import Layers
from core.schemas.results import Summary
from core.schemas.runs import Run
from core.units import energy_scale


def summary_row(run: Run, summary: Summary, layers: Layers) -> dict[str, Any]:
    """Everything that a table may want of one run, in one row; energy as the mode and profile of `layers` have it."""
    return {
        "run": run.id,
        "network": run.title,
        **summary.model_dump(mode="json", exclude={"mask", "acs", "macs", "energy_pj", "mode", "profile"}),
        "mask": ",".join(summary.mask),
        "acs": layers.total_acs,
        "macs": layers.total_macs,
        "energy_pj": layers.total_energy_pj,
        "mode": layers.mode,
        "profile": layers.profile,
    }


def latex_row(run: Run, summary: Summary, layers: Layers) -> str:
    """One row of a table, with its columns and what the figures rest on as comments above it."""
    factor, unit = energy_scale(layers.total_energy_pj)
    rate = "--" if summary.firing_rate is None else f"{summary.firing_rate:.3f}"
    cells = [
        text(run.title), text(title_of(summary.dataset)), f"{100 * summary.accuracy:.2f}", f"{summary.f1_macro:.3f}",
        f"{summary.params:,}", f"{layers.total_acs / 1e6:.3g}", f"{layers.total_macs / 1e6:.3g}",
        f"{layers.total_energy_pj / factor:.3g}", rate,
    ]  # fmt: skip
    data = "complete data set" if summary.dataset_complete else "subset of the published data set"
    return (
        f"% network & data & accuracy (\\%) & F1 & parameters & AC (M) & MAC (M) & energy ({text(unit)}) & firing rate\n"
        f"% one run, seed {summary.seed}; n = {summary.n_test} test images; {summary.n_train} training images, {data};\n"
        f"% energy estimated per inference: mode {layers.mode}, profile {layers.profile}, T = {layers.time_steps}\n"
        f"{' & '.join(cells)} \\\\\n"
    )


def bibtex(run: Run, summary: Summary, *, version: str, commit: str | None, citation: str) -> str:
    """Entries for this run, the method's paper, and, as a comment, the data set as its authors want it cited."""
    moment = run.finished_at or run.created_at
    when = "brought in" if run.started_at is None else "finished"  # one from elsewhere does not say when it ended
    made = f"Spikefront {version}" + (f", commit {commit[:12]}" if commit else "")
    note = (
        f"One training run, seed {summary.seed}, recipe {summary.recipe}, config {summary.config_hash[:16]}; "
        f"{made}; {when} {moment:%Y-%m-%d}"
    )
    return (
        f"@misc{{spikefront-{run.id},\n"
        f"  title = {{{{{text(run.title)} on {text(title_of(summary.dataset))}}}}},\n"
        f"  note  = {{{text(note)}}},\n"
        f"  year  = {{{moment:%Y}}}\n"
        "}\n\n"
        "@misc{kabir2026spikenets,\n"
        "  author = {Kabir and Dipto and Ahamed and Ahmed and Kabir},\n"
        "  title  = {{From Lightweight {CNN}s to {SpikeNet}s: Benchmarking Accuracy-Energy Tradeoffs with Pruned Spiking "
        "{SqueezeNet}}},\n"
        "  eprint = {2602.09717},\n"
        "  archivePrefix = {arXiv},\n"
        "  year   = {2026}\n"
        "}\n\n"
        f"% data: {citation}\n"
    )
