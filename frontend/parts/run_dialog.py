"""The dialog of one run: its tags and note, a new run from its config, and deleting it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from core.backbones.catalog import BACKBONES, layout_of
from core.errors import SpikefrontError
from core.schemas.base import digest
from core.schemas.catalog import Catalog
from core.schemas.named import LONGEST_NAME
from core.schemas.request import ForkRequest
from core.schemas.run import Kind, RunConfig
from core.schemas.runs import MOST_TAGS, Run, RunChange
from frontend.client.api import ApiDown, ApiProblem
from frontend.client.connection import DOWN_TITLE, api, plain, show_problem
from frontend.keys import Key
from frontend.parts import actions as acts
from frontend.parts import architecture
from frontend.parts import run_state as state
from frontend.places import link_launch, open_run

LONGEST_NOTE = 4000

#: What a new run can change beside kind, mask, seed and recipe: dotted config field, title.
FIELDS: tuple[tuple[str, str], ...] = (
    ("time_steps", "Time steps T"),
    ("neuron.tau", "tau"),
    ("neuron.v_threshold", "v_threshold"),
    ("training.max_epochs", "Epochs, at most"),
    ("training.lr", "Learning rate"),
    ("training.batch_size", "Batch size"),
    ("training.patience", "Patience in epochs"),
    ("training.train_limit", "Training images, at most"),
)


TABS = ("Name, tags and note", "Edit and launch again", "Delete")
FIRST = Key.RUNS_EDIT.of("tab")  # the tab it opens with


def ask(run_id: str, tab: str = TABS[0]) -> None:
    """Have the page open the dialog when it is drawn next; for a callback."""
    st.session_state[Key.RUNS_OPEN] = run_id
    st.session_state[FIRST] = tab


def draw(run_id: str, catalog: Catalog) -> None:
    """Open the dialog; from the page itself, so that what polls does not close it."""
    try:
        run = api().run(run_id)
    except ApiProblem as problem:  # such as: another tab deleted it
        close()
        st.toast(plain(problem.detail), icon=":material/error:")
        return
    st.dialog(f"{run.title}, seed {run.config.seed}", width="large", on_dismiss=close)(_inside)(run, catalog)


def close() -> None:
    """Forget the dialog and what was typed into it."""
    memory = st.session_state
    for key in [key for key in memory if str(key).startswith((Key.RUNS_EDIT, Key.RUNS_FORK))]:
        del memory[key]
    memory.pop(Key.RUNS_OPEN, None)


def _inside(run: Run, catalog: Catalog) -> None:
    marks, fork, remove = st.tabs(TABS, default=st.session_state.get(FIRST))
    with marks:
        _marks(run)
    with fork:
        _fork(run, catalog)
    with remove:
        _remove(run)


@contextmanager
def _refusals() -> Iterator[None]:
    """What the API refuses is said in the dialog, which stays open with what was typed."""
    try:
        yield
    except ApiProblem as problem:
        show_problem(problem)
    except ApiDown:
        st.error(DOWN_TITLE)


def _marks(run: Run) -> None:
    memory = st.session_state
    # what this dialog opened with: only the difference is saved, so that another tab's words are kept
    first: Run = memory.setdefault(Key.RUNS_EDIT.of("first"), run)
    name = st.text_input(
        "Name", first.name or "", max_chars=LONGEST_NAME, key=Key.RUNS_EDIT.of("name"), placeholder=first.described,
        help="Shown in place of the label, which then stands below it. Empty: none. A double-blind link leaves it out.",
    )  # fmt: skip
    tags = st.multiselect(
        "Tags", first.tags, default=first.tags, accept_new_options=True, max_selections=MOST_TAGS,
        key=Key.RUNS_EDIT.of("tags"), placeholder="Type a word and press Enter",
    )  # fmt: skip
    note = st.text_area("Note", first.note, max_chars=LONGEST_NOTE, key=Key.RUNS_EDIT.of("note"))
    if st.button("Save", key=Key.RUNS_EDIT.of("save"), type="primary"):
        with _refusals():
            now = api().run(run.id)
            if note != first.note and now.note not in (first.note, note):
                memory[Key.RUNS_EDIT.of("first")] = now
                st.warning(
                    f"The note was changed elsewhere meanwhile, and says now: “{plain(now.note)}” "
                    "Save again to put yours in its place."
                )
                return
            change = difference(first, tags=tags, note=note, now=now, name=name)
            if change.model_fields_set:
                api().change(run.id, change)
                memory[Key.RUNS_TURN] = memory.get(Key.RUNS_TURN, 0) + 1
            close()
            st.rerun()


def difference(first: Run, *, tags: list[str], note: str, now: Run, name: str | None = None) -> RunChange:
    """What was changed here since `first`, on top of what the run has `now`. Raises nothing that the API would not."""
    fields: dict = {}
    wanted = [tag.strip() for tag in tags if tag.strip()]
    added, removed = set(wanted) - set(first.tags), set(first.tags) - set(wanted)
    if added or removed:
        kept = [tag for tag in now.tags if tag not in removed]
        fields["tags"] = [*kept, *(tag for tag in dict.fromkeys(wanted) if tag in added and tag not in kept)]
    if note != first.note:
        fields["note"] = note
    if name is not None and name.strip() != (first.name or ""):
        fields["name"] = name.strip() or None
    return RunChange.model_construct(_fields_set=set(fields), **fields)


def _fork(run: Run, catalog: Catalog) -> None:
    config = run.config
    blocks = _blocks(config)
    recipes = {None: "as this run", **{item.name: item.title for item in catalog.recipes}}
    memory = st.session_state
    first, second, third = st.columns([1.2, 0.8, 1.2])
    kind = first.segmented_control(
        "Network",
        list(Kind),
        default=config.kind,
        required=True,
        format_func=lambda kind: kind.value.upper(),
        key=Key.RUNS_FORK.of("kind"),
    )
    seed = second.number_input("Seed", 0, 2**31 - 1, config.seed, key=Key.RUNS_FORK.of("seed"))
    recipe = third.selectbox(
        "Recipe",
        list(recipes),
        format_func=recipes.__getitem__,
        key=Key.RUNS_FORK.of("recipe"),
        help="A recipe replaces the neuron and training settings; the fields below come last.",
    )
    mask = st.multiselect("Kept blocks", blocks, default=list(config.mask), key=Key.RUNS_FORK.of("mask"))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Empty fields stay as " + ("this run" if recipe is None else "the recipe") + " has them.")
        link_launch(run.id, "All fields")
    values = config.model_dump()
    typed: dict[str, str] = {}
    columns = st.columns(4)
    for place, (name, title) in enumerate((*FIELDS, *_options(config))):
        value = values
        for part in name.split("."):
            value = value[part]
        of_recipe = recipe and not name.startswith("architecture.")
        shown = "" if of_recipe or value is None else value if isinstance(value, str) else f"{value:g}"
        typed[name] = columns[place % 4].text_input(title, key=Key.RUNS_FORK.of(name), placeholder=shown)
    request = forked(run, kind=kind, seed=int(seed), mask=mask, recipe=recipe, typed=typed)
    same = request == ForkRequest()
    if same:
        st.caption("Nothing is changed yet: a run with equal config and seed gives the same figures again.")
    if st.button("Launch", key=Key.RUNS_FORK.of("launch"), type="primary", icon=":material/play_arrow:"):
        nonce = memory.setdefault(Key.RUNS_FORK.of("nonce"), secrets.token_urlsafe(12))
        with _refusals():
            made = api().fork(run.id, request, idempotency_key=f"fork-{nonce}-{hash_of(request)}")
            close()
            open_run(made.id)


def _options(config: RunConfig) -> list[tuple[str, str]]:
    """The options that a run's network has: dotted field, title."""
    if config.backbone not in BACKBONES:
        return []
    names = [f"architecture.{one.name}" for one in BACKBONES[config.backbone].options.get(config.definition, ())]
    return [(name, architecture.BY_NAME[name].title) for name in names]


def _blocks(config: RunConfig) -> tuple[str, ...]:
    """All removable blocks of a run's network; the kept ones where the backbone is no longer known."""
    try:
        return layout_of(config.backbone, config.definition, config.architecture).blocks
    except SpikefrontError:
        return config.mask


def forked(
    run: Run, *, kind: Kind, seed: int, mask: list[str], recipe: str | None, typed: dict[str, str]
) -> ForkRequest:
    """Only what differs from the run; the API reads the typed numbers."""
    config = run.config
    return ForkRequest(
        kind=None if kind is config.kind else kind,
        seed=None if seed == config.seed else seed,
        mask=None if set(mask) == set(config.mask) else mask,
        recipe=recipe,
        overrides={name: text.strip() for name, text in typed.items() if text.strip()},
    )


def hash_of(request: ForkRequest) -> str:
    return digest(request.model_dump(mode="json"))[:24]


def _remove(run: Run) -> None:
    if run.state.is_active:
        st.markdown(f"The run is {state.WORDS[run.state]}. Cancel it first; what has ended can be deleted.")
        return
    st.markdown(
        "It leaves every list, chart and comparison, and its shared links lead nowhere. For a day it can be brought "
        "back from the list *Deleted*; then its files are removed."
    )
    if st.button("Delete this run", key=Key.RUNS_EDIT.of("delete"), type="primary", icon=":material/delete:"):
        acts.delete(run.id, run.title)
        close()
        st.rerun()
