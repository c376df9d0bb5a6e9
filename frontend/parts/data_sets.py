"""Data sets in the browser: bringing one of one's own, fetching a published one, and looking at each class."""

from __future__ import annotations

import re
import threading

import streamlit as st

from core.datasets.catalog import reading
from core.report.markup import render
from core.schemas.catalog import DatasetInfo
from core.schemas.datasets import MAX_ARCHIVE_BYTES, DatasetAdded, DataWork
from frontend.client.api import ApiDown, ApiProblem
from frontend.client.connection import DOWN_TITLE, api, part, plain, show_problem
from frontend.keys import Key

MOST_MB = MAX_ARCHIVE_BYTES >> 20
ENDS = ["zip", "tar", "gz", "tgz", "xz", "bz2"]
PNG_URI = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")
WALL = 8  # pictures of a class
POLL_S = 1.0
ASK_S = 0.3
SIZES = {"the commonest, up to 64": None, "16": 16, "28": 28, "32": 32, "48": 48, "64": 64, "96": 96, "128": 128}


@st.dialog("A data set of your own", width="medium")
def add_dialog() -> None:
    add_form()


def add_form() -> None:
    """Upload an archive, and say what became of it. The set that was added last is kept in the session."""
    st.markdown(
        "A zip or tar with **one folder of pictures for each class**, or such folders in `train` and `test`. "
        "Without `test`, a fifth of the pictures is put aside for testing. Every picture is read before anything is added."
    )
    file = st.file_uploader("Archive", type=ENDS, max_upload_size=MOST_MB, key=Key.DATA_FILE)
    first, second = st.columns([1.4, 1])
    name = first.text_input(
        "Name", key=Key.DATA_NAME, placeholder="such as shapes", help="Of a-z, 0-9, _ and -, beginning with a letter."
    )
    side = second.selectbox(
        "Side of the images, pixels",
        list(SIZES),
        key=Key.DATA_SIZE,
        help="Each is cut square and brought to this size.",
    )
    mirrors = st.checkbox(
        "A mirrored picture is still one of its class",
        key=Key.DATA_MIRRORS,
        help="Then training may mirror pictures. Not so of letters, digits, or left and right hands.",
    )
    able = file is not None and bool(name.strip())
    if file is not None and not able:  # else a grey button would not say what it waits for
        st.caption("Give the data set a name, then add it.")
    if not st.button("Add", key=Key.DATA_ADD, type="primary", disabled=not able) or file is None:
        return
    added = _send(file.getvalue(), name=name.strip(), file=file.name, size=SIZES[side], mirrors=mirrors)
    if added is not None:
        st.session_state[Key.DATA_ADDED] = added
        st.rerun()


def added() -> DatasetAdded | None:
    """What the session has added last, once: whoever asks tells of it."""
    return st.session_state.pop(Key.DATA_ADDED, None)


def tell(found: DatasetAdded) -> None:
    """Classes, images, and what was left out."""
    info = found.dataset
    st.success(
        f"**{plain(info.title)} is here**: {len(found.classes):,} classes ({plain(_some(found.classes))}), "
        f"{info.n_train or 0:,} training and {info.n_test or 0:,} test images of {info.image_shape[1]}×{info.image_shape[2]} "
        f"pixels. {plain(info.note or '')}",
        icon=":material/check:",
    )


def wall(name: str, *, key: str) -> None:
    """Some training images of each class; nothing where they cannot be shown."""
    chosen = st.session_state.get(Key.DATA_CLASS.of(key))
    try:
        found = api().pictures(name, of=chosen, limit=WALL if chosen is None else 6 * WALL)
    except ApiProblem as problem:
        if chosen is not None and problem.code == "unknown-name":  # of a set that was exchanged
            del st.session_state[Key.DATA_CLASS.of(key)]
        show_problem(problem)
        return
    st.selectbox(
        "Class", found.class_names, index=None, key=Key.DATA_CLASS.of(key), placeholder="all classes", width=260
    )
    classes = [
        {
            "name": each.name,
            "below": f"{each.n_train:,} training, {each.n_test:,} test",
            "sources": [picture for picture in each.pictures if PNG_URI.fullmatch(picture)],
        }
        for each in found.classes
    ]
    st.html(render("wall.html", classes=classes))
    if (how := reading(name)) is not None:
        st.caption(how)
    if chosen is None and len(classes) < len(found.class_names):
        st.caption(f"The first {len(classes)} of {len(found.class_names):,} classes; choose any other above.")


def fetching(info: DatasetInfo, *, key: str) -> None:
    """A button that fetches the set, or how far that is."""
    try:
        work = api().data_work(info.name)
    except ApiProblem:  # nothing was done to it yet
        work = None
    if work is not None and work.running and work.kind == "fetch":
        st.fragment(run_every=POLL_S)(part(_under_way))(info.name, key)
        return
    if work is not None and work.state == "failed" and work.problem is not None:
        st.error(f"**{plain(work.problem.title)}**  \n{plain(work.problem.detail)}", icon=":material/error:")
    begun = work is not None and work.state in ("failed", "cancelled")
    label = "Fetch it: go on" if begun else f"Fetch {info.title} from its authors"
    if st.button(plain(label), key=Key.DATA_FETCH.of(f"{key}_{info.name}"), icon=":material/download:"):
        try:
            api().fetch_dataset(info.name)
        except ApiProblem as problem:
            show_problem(problem)
            return
        st.rerun()


def _under_way(name: str, key: str) -> None:
    work = api().data_work(name)
    if not work.running:
        st.rerun()
    st.progress(_share(work), text=plain(_says(work)))
    if st.button("Cancel", key=Key.DATA_CANCEL.of(f"{key}_{name}"), help="What has come is kept for the next try."):
        api().cancel_fetch(name)


def _send(content: bytes, *, name: str, file: str, size: int | None, mirrors: bool) -> DatasetAdded | None:
    """Send the archive beside this script, which shows meanwhile how far the API is with it."""
    client = api()  # here: a thread of its own has no session to find it in
    outcome: list[DatasetAdded | ApiProblem | ApiDown] = []

    def send() -> None:
        try:
            outcome.append(client.add_dataset(content, name=name, file=file, size=size, mirrors=mirrors))
        except (ApiProblem, ApiDown) as error:
            outcome.append(error)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    bar = st.empty()
    while thread.is_alive():
        thread.join(ASK_S)
        try:
            work = client.data_work(name)
        except (ApiProblem, ApiDown):  # not begun yet, or refused at once
            continue
        if work.running:
            bar.progress(_share(work), text=plain(_says(work)))
    bar.empty()
    found = outcome[0]
    if isinstance(found, DatasetAdded):
        return found
    if isinstance(found, ApiProblem):
        show_problem(found)
        st.caption("Nothing was added.")
    else:
        st.error(f"{DOWN_TITLE}. Nothing was added; try again when it is back.", icon=":material/cloud_off:")
    return None


def _share(work: DataWork) -> float:
    return min(work.done / work.total, 1.0) if work.total else 0.0


def _says(work: DataWork) -> str:
    """Such as `downloading: 31.2 of 170.5 MB`, or `reading: 120 of 240`."""
    of_bytes = work.what in ("downloading", "receiving")
    done, total = (f"{n / 1e6:.1f}" if of_bytes else f"{n:,}" for n in (work.done, work.total))
    if not work.done and not work.total:
        return work.what
    return f"{work.what}: {done}{f' of {total}' if work.total else ''}{' MB' if of_bytes else ''}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6:,} more" if len(names) > 6 else "")
