"""Bringing in a bundle that was trained elsewhere."""

from __future__ import annotations

import streamlit as st

from core.units import format_energy
from frontend.client.api import ApiDown, ApiProblem
from frontend.client.connection import DOWN_TITLE, api, plain, show_problem
from frontend.keys import Key
from frontend.places import link_run

MOST_MB = 512


@st.dialog("Import a bundle", width="medium", on_dismiss="rerun")
def draw() -> None:
    """Upload a zip, and say what became of it."""
    st.markdown(
        "A run that was trained elsewhere, as a zip of its bundle: the folder that `spikefront train --out` wrote, or a "
        "bundle downloaded from another dashboard. Every checksum is checked and every figure is recomputed before it "
        f"appears among your runs. At most {MOST_MB} MB."
    )
    file = st.file_uploader("Bundle", type="zip", max_upload_size=MOST_MB, key=Key.RUNS_UPLOAD)
    if not st.button("Import", key=Key.RUNS_IMPORT, type="primary", disabled=file is None) or file is None:
        return
    try:
        with st.spinner("Checking every file and every figure"):
            run, new = api().import_bundle(file.getvalue())
    except ApiProblem as problem:
        show_problem(problem)
        st.caption("Nothing was stored.")
        return
    except ApiDown:
        st.error(f"{DOWN_TITLE}. Nothing was stored; try again when it is back.", icon=":material/cloud_off:")
        return
    if new:
        found = run.summary
        figures = f": {100 * found.accuracy:.2f} %, {format_energy(found.energy_pj)}" if found else ""
        st.success(f"Every file and figure agrees. {plain(run.title)} is among your runs{figures}.")
    else:
        st.info(f"This bundle is here already, as {plain(run.title)}. Nothing was stored twice.")
    link_run(run.id, "Open the run", icon=":material/arrow_forward:")
