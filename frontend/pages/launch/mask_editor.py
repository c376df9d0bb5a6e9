"""The mask drawn as the network: blocks are real check boxes, so a keyboard reaches them; pools stand between."""

from __future__ import annotations

import streamlit as st

from core.errors import ImpossibleMask
from core.report.markup import piece
from core.schemas.catalog import BackboneInfo
from frontend.client.connection import plain
from frontend.keys import Key
from frontend.pages.launch.network_stages import Drawing, Group, Stage

FIRST_MASK = "Ref-1"  # the paper's own choice, SqueezeNet-P
NARROW_SPACE = "\u202f"  # no line breaks at it


def prepare(backbone: BackboneInfo) -> None:
    """Give the blocks their first state; once a session and backbone, before anything is drawn."""
    first = backbone.masks.get(FIRST_MASK, backbone.blocks)
    for block in backbone.blocks:
        st.session_state.setdefault(Key.LAUNCH_BLOCK.of(block), block in first)
    # the name belongs to the blocks, which are of another backbone after a change of it
    st.session_state[Key.LAUNCH_MASK_NAME] = name_of(backbone, kept(backbone))


def kept(backbone: BackboneInfo) -> tuple[str, ...]:
    """The kept blocks in network order."""
    return tuple(block for block in backbone.blocks if st.session_state.get(Key.LAUNCH_BLOCK.of(block)))


def take(backbone: BackboneInfo, mask: tuple[str, ...]) -> None:
    """Set the blocks; from a callback, or before they are drawn."""
    for block in backbone.blocks:
        st.session_state[Key.LAUNCH_BLOCK.of(block)] = block in mask


def name_of(backbone: BackboneInfo, mask: tuple[str, ...]) -> str | None:
    """The mask's name in the backbone's table, if it has one."""
    return next((name for name, blocks in backbone.masks.items() if tuple(blocks) == mask), None)


def mask_title(backbone: str, name: str) -> str:
    """A mask's name, and of the paper's own network the name that it has there: `SqueezeNet-P (Ref-1)`."""
    return f"SqueezeNet-P ({name})" if (backbone, name) == ("squeezenet", FIRST_MASK) else name


def draw(backbone: BackboneInfo, drawing: Drawing) -> None:
    """Named masks, under them the network, and under that why the mask is impossible, if it is."""
    st.pills(
        "Named masks",
        list(backbone.masks),
        format_func=lambda name: mask_title(backbone.name, name),
        key=Key.LAUNCH_MASK_NAME,
        on_change=_take_named,
        args=(backbone,),
        help="Of SqueezeNet the nine masks of Kabir et al., table 3, where Ref-1 is SqueezeNet-P; of the others ours.",
    )
    with st.container(key="mask_editor", horizontal=True, gap="small"):
        for place, group in enumerate(drawing.groups):
            _group(place, group)
    count = len(kept(backbone))
    st.caption(f"{count} of {len(backbone.blocks)} blocks kept. Click a block, or press Space on it, to leave it out.")
    if drawing.problem is not None:
        _explain(drawing.problem)


def _group(place: int, group: Group) -> None:
    with st.container(key=f"mask_group_{place}", width="content", gap=None):
        size = "×".join(map(str, group.size)) if group.size else ""
        st.html(piece("map_size", size), width="content")
        with st.container(key=f"mask_parts_{place}", horizontal=True, gap="small", width="content"):
            for stage in group.stages:
                _part(stage, group)


def _part(stage: Stage, group: Group) -> None:
    """Channels, and the feature map's size where it is not the group's, since a stride before it is left out."""
    detail = ""
    if stage.shape is not None:
        channels, *size = stage.shape
        detail = f"{channels} ch" + ("" if group.size in (None, tuple(size)) else f", {'×'.join(map(str, size))}")
    if not stage.is_block:
        st.html(piece("operation", stage.name, detail), width="content")
        return
    key = Key.LAUNCH_BLOCK.of(stage.name)
    said = detail if st.session_state[key] else "left out"
    # plain text, since it is read aloud; it may break behind the name only, whose line the CSS makes bold
    st.checkbox(f"{stage.name} {said.replace(' ', NARROW_SPACE)}", key=key, persist_state="session")


def _explain(problem: ImpossibleMask) -> None:
    """What arrived where, block by block, up to the one that cannot take it."""
    *before, last = problem.fields["trace"] or [problem.fields["why"]]
    lines = [f"{place}. {plain(line)}" for place, line in enumerate(before, start=1)]
    lines.append(f"{len(lines) + 1}. **{plain(last)}**")
    st.error("**This mask gives no network.**\n" + "\n".join(lines), icon=":material/error:")


def _take_named(backbone: BackboneInfo) -> None:
    name = st.session_state.get(Key.LAUNCH_MASK_NAME)
    if name is not None:  # else a second click on the chosen mask: it stays what it is
        take(backbone, tuple(backbone.masks[name]))
