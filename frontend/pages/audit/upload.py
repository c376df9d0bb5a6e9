"""A table of another paper: what its columns are called, an example, and the file."""

from __future__ import annotations

import streamlit as st

from core.report.tables import audit_tables
from core.schemas.audit import Audit
from frontend.client.api import ApiProblem
from frontend.client.connection import api, plain, show_problem
from frontend.keys import Key

COLUMNS = """
| Column | Holds |
|---|---|
| `model` | the network's name |
| `ac`, `ac_k` or `ac_m` | accumulates per inference, in ones, thousands or millions |
| `mac`, `mac_k` or `mac_m` | multiply-accumulates per inference, likewise |
| `energy_mj`, `energy_uj` or `energy_nj` | the printed energy per inference |
| `params`, `params_k` or `params_m` | parameters; may be left out |
| `accuracy` (0 to 1) or `accuracy_pct` | may be left out |
"""


def draw() -> tuple[str, Audit] | None:
    """The form; returns the file's name and its audit, or None while there is none."""
    st.markdown(
        "Bring the table of another paper as CSV. Each row's energy is recomputed from its operations, at 0.9 pJ an AC and "
        "4.6 pJ a MAC (Horowitz, ISSCC 2014, 45 nm, fp32), and held against what is printed."
    )
    with st.expander("The columns, and an example"):
        st.markdown(COLUMNS)
        st.caption(
            "Commas between columns, a point in decimals, at most 5,000 rows and 1 MB. Write the digits that were printed: "
            "the last one says how far a figure is rounded."
        )
        example = audit_tables.example_csv()
        st.code(example, language=None)
        st.download_button(
            "Download the example",
            example,
            file_name="spikefront-audit-example.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
        )
    file = st.file_uploader("Table as CSV", type="csv", key=Key.AUDIT_FILE, max_upload_size=1, on_change=_first_page)
    if file is None:
        return None
    name = "".join(sign for sign in file.name if sign.isprintable())[:100] or "table.csv"
    try:
        return name, api().audit_table(file.getvalue(), name=name)
    except ApiProblem as problem:
        if problem.code == "bad-value":  # names the line and what it must be
            st.error(f"**This table cannot be read.** {plain(problem.detail)}", icon=":material/error:")
        else:
            show_problem(problem)
        return None


def _first_page() -> None:
    st.session_state.pop(Key.AUDIT_PAGE, None)
