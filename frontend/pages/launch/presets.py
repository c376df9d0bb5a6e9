"""Rows of the paper's tables as ready forms: `reproduce this row`, from a list or by address."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from core.paper.printed import PrintedRow, printed_rows
from core.schemas.catalog import BackboneInfo, Catalog
from core.schemas.run import Kind
from core.units import format_count, format_energy
from frontend.client.connection import plain
from frontend.keys import Key
from frontend.pages.launch import advanced, mask_editor, sweep_form
from frontend.pages.launch import form as launching
from frontend.parts import address, architecture
from frontend.parts.address import Part

RECIPE = "paper"
#: /launch?row=table1/cifar10/SqueezeNet-P
PARTS = {"row": Part(key=Key.LAUNCH_ROW, default=None, read=lambda text: text if text in printed_rows() else None)}


def from_address(catalog: Catalog) -> None:
    """Fill the form from a row in the address that this session has not taken from there yet."""
    asked = address.fresh(PARTS, last=Key.LAUNCH_ADDRESS)
    if not asked:
        return
    if PARTS["row"].read(asked["row"]) is None:
        st.warning(f"The paper has no row {plain(asked['row'])}. Choose one from the list.", icon=":material/help:")
        return
    address.adopt(PARTS, last=Key.LAUNCH_ADDRESS)
    _fill(catalog)


def draw(catalog: Catalog) -> None:
    """The list of rows, and what the chosen one says."""
    rows = printed_rows()
    datasets = {item.name: item.title for item in catalog.datasets}
    st.selectbox(
        "Reproduce a printed row", list(rows), index=None, format_func=lambda name: title(rows[name], datasets),
        key=Key.LAUNCH_ROW, on_change=_fill, args=(catalog,), persist_state="session",
        placeholder="Kabir et al., tables 1 to 3: choose a row, and the form is filled as published",
    )  # fmt: skip


def note(form: launching.Form, backbone: BackboneInfo, datasets: Mapping[str, str]) -> None:
    """The chosen row's figures, whether the form still is that row, and what cannot be as published.

    The address names the row exactly as long as the form is it.
    """
    name = st.session_state.get(Key.LAUNCH_ROW)
    row = printed_rows()[name] if name else None
    same = row is not None and is_row(row, form, backbone)
    address.put(PARTS, {"row": name} if same else {}, last=Key.LAUNCH_ADDRESS)
    if row is None:
        return
    with st.container(border=True, key="printed_row"):
        st.markdown(f"**{plain(title(row, datasets))}.** Printed: {plain(figures(row))}.")
        said = [] if same else ["The form has changed since: it is another network, data set or kind than this row."]
        if same and form.recipe != RECIPE:
            said.append(f"Recipe {form.recipe} is not the published one: expect other figures.")
        if not row.recovered:
            said.append(f"How the paper's {row.model} is built was not published; this is a reconstruction.")
        said.append("The paper does not say how many seeds its figures rest on.")
        st.caption(plain(" ".join(said)))


def title(row: PrintedRow, datasets: Mapping[str, str]) -> str:
    """Such as `Table 1: SNN-SqueezeNet-P, CIFAR-10`."""
    model = f"SqueezeNet {row.model}" if row.table == "Table 3" else row.model
    return f"{row.table}: {row.kind.value.upper()}-{model}, {datasets.get(row.dataset, row.dataset)}"


def figures(row: PrintedRow) -> str:
    """What the row prints, in words."""
    parts = [f"accuracy {100 * row.accuracy:.2f} %"]
    if row.f1_macro is not None:
        parts.append(f"F1 {row.f1_macro:.4g}")
    if row.params is not None:
        parts.append(f"{format_count(row.params)} parameters")
    if row.acs is not None and row.macs is not None:
        parts.append(f"{format_count(row.acs)} ACs and {format_count(row.macs)} MACs")
    return ", ".join([*parts, f"{format_energy(row.energy_pj)} for one time step"])


def is_row(row: PrintedRow, form: launching.Form, backbone: BackboneInfo) -> bool:
    """Whether the form asks for the row's network on its data, whatever recipe and seeds."""
    kept = backbone.masks.get(form.mask) or tuple(form.mask.split(","))
    return (
        (row.backbone, row.dataset, row.mask) == (form.backbone, form.dataset, tuple(kept))
        and row.kind in form.kinds
        and form.definition == row.definition
        and not any(name in architecture.BY_NAME for name in (*form.overrides, *form.fields))
        and not (form.backbones or form.masks)
    )


def _fill(catalog: Catalog) -> None:
    name = st.session_state.get(Key.LAUNCH_ROW)
    if name is None:
        return
    row, memory = printed_rows()[name], st.session_state
    memory[Key.LAUNCH_BACKBONE] = row.backbone
    memory[Key.LAUNCH_DEFINITION] = row.definition
    memory[Key.LAUNCH_DATASET] = row.dataset
    # table 2 sets a CNN against its spiking network, so it takes both
    memory[Key.LAUNCH_KIND] = launching.TWINS if row.kind is Kind.CNN else row.kind.value
    memory[Key.LAUNCH_RECIPE] = RECIPE
    memory[Key.LAUNCH_SEEDS] = "0"
    mask_editor.take(next(item for item in catalog.backbones if item.name == row.backbone), row.mask)
    advanced.clear()
    architecture.clear()
    sweep_form.clear()
