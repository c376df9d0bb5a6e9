"""A comparison as LaTeX (booktabs), with what its figures rest on in the caption."""

from __future__ import annotations

from core.datasets.catalog import title_of
from core.report.charts.comparison_names import names
from core.report.tables.ensemble_tables import rows as ensemble_rows
from core.schemas.compare import Comparison
from core.schemas.ensemble import ComparedEnsemble
from core.units import energy_scale

SIGNS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "·": r"\,", "×": r"$\times$", "µ": r"\textmu{}",
}  # fmt: skip


def text(value: str) -> str:
    """Words as LaTeX prints them: no sign of theirs is a command."""
    return "".join(SIGNS.get(sign, sign) for sign in value)


def table(comparison: Comparison) -> str:
    """The runs, one a row: accuracy, its difference with interval, F1, energy in one unit, ratio, counts."""
    largest = max(run.energy_pj for run in comparison.runs)
    factor, unit = energy_scale(largest)
    labels = names(comparison)
    against = {item.run_id: item for item in comparison.differences}
    lines = []
    for run in comparison.runs:
        item = against.get(run.id)
        pair = item.paired if item else None
        span = f" [{_signed(pair.low)}, {_signed(pair.high)}]" if pair else ""
        rate = "--" if run.firing_rate is None else f"{run.firing_rate:.3f}"
        ratio = "1" if item is None else "--" if item.energy_ratio is None else f"{item.energy_ratio:.3g}"
        cells = [
            text(labels[run.id]), f"{100 * run.accuracy:.2f}", f"{_signed(item.accuracy)}{span}" if item and comparison.on_one_data_set(item) else "--",
            f"{run.f1_macro:.3f}", f"{run.energy_pj / factor:.3g}", ratio, f"{run.params:,}", rate,
        ]  # fmt: skip
        lines.append("    " + " & ".join(cells) + r" \\")
    head = ["Network", r"Acc. (\%)", r"$\Delta$ (points)", "F1", f"Energy ({text(unit)})", "Ratio", "Params", "Rate"]
    return _float("lrrrrrrr", head, lines, caption=_caption(comparison), label="tab:comparison")


def twins(comparison: Comparison, labels: dict[str, str]) -> str:
    """The CNN-SNN ratios, one pair a row."""
    lines = [
        f"    {text(labels[pair.snn_id])} & {text(labels[pair.cnn_id])} & {_signed(pair.accuracy)} & "
        + ("--" if pair.energy_ratio is None else f"{pair.energy_ratio:.3g}")
        + r" \\"
        for pair in comparison.twins
    ]
    head = ["SNN", "CNN", r"$\Delta$ accuracy (points)", "Energy, SNN / CNN"]
    caption = f"Spiking networks against their CNN twins. {_priced(comparison)}"
    return _float("llrr", head, lines, caption=caption, label="tab:twins")


def ensemble(found: ComparedEnsemble, comparison: Comparison) -> str:
    """Two of the runs answering together, one way of answering a row."""
    factor, unit = energy_scale(found.cascade[-1].energy_pj)
    first, second = (names(comparison)[run_id] for run_id in (found.first_id, found.second_id))
    lines = []
    for row in ensemble_rows(found, "First", "Second"):
        gained = [
            "--" if gain is None else f"{_signed(gain.accuracy)} [{_signed(gain.low)}, {_signed(gain.high)}]"
            for gain in (row.against_first, row.against_second)
        ]
        cells = [
            text(row.title),
            f"{row.asked:,}",
            f"{100 * row.accuracy:.2f}",
            *gained,
            f"{row.energy_pj / factor:.3g}",
        ]
        lines.append("    " + " & ".join(cells) + r" \\")
    head = ["Answer", "Asked", r"Acc. (\%)", r"$-$ first (points)", r"$-$ second (points)", f"Energy ({text(unit)})"]
    caption = (
        f"First: {text(first)}; second: {text(second)}. The second network is asked on the images on which the first one's "
        f"largest probability is not above the threshold. {found.n:,} test images; brackets hold a 95\\,\\% interval over "
        f"the same images (Agresti and Min, 2005). The thresholds describe these images: none was chosen on others. "
        f"{_priced(found)}"
    )
    return _float("lrrrrr", head, lines, caption=caption, label="tab:ensemble")


def _float(columns: str, head: list[str], lines: list[str], *, caption: str, label: str) -> str:
    rows = "\n".join(lines)
    return (
        "% needs \\usepackage{booktabs} and, for \\textmu, \\usepackage{textcomp}\n"
        "\\begin{table}\n  \\centering\n"
        f"  \\caption{{{caption}}}\n  \\label{{{label}}}\n"
        f"  \\begin{{tabular}}{{{columns}}}\n    \\toprule\n    {' & '.join(head)} \\\\\n    \\midrule\n{rows}\n"
        "    \\bottomrule\n  \\end{tabular}\n\\end{table}\n"
    )


def _caption(comparison: Comparison) -> str:
    tested = sorted({run.n_test for run in comparison.runs})
    images = " and ".join(f"{n:,}" for n in tested)
    data = " and ".join(dict.fromkeys(title_of(run.config.dataset) for run in comparison.runs))
    subset = "" if all(run.dataset_complete for run in comparison.runs) else " (a subset of the published data)"
    return (
        f"{len(comparison.runs)} runs on {text(data)}{subset}, {images} test images, one seed each. Differences and "
        rf"ratios are against the first row; brackets hold a 95\,\% interval over the same test images (Agresti and Min, "
        f"2005). {_priced(comparison)}"
    )


def _priced(comparison: Comparison | ComparedEnsemble) -> str:
    return (
        f"Estimated energy per inference, accounting mode {text(comparison.mode)}, "
        f"profile {text(comparison.profile + comparison.moved_prices)}."
    )


def _signed(share: float) -> str:
    return f"${100 * share:+.2f}$"
