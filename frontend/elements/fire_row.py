"""The Fire mask as a row of modules in network order; each is a check box, so a keyboard reaches it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from core.schemas.api import BackboneInfo
from frontend.keys import Key
from frontend.launching import Stage

FIRST_MASK = "Ref-1"  # the paper's own choice, SqueezeNet-P


def prepare(backbone: BackboneInfo) -> None:
    """Give the modules their first state; once a session, before anything is drawn."""
    masks = backbone.masks
    first = masks.get(FIRST_MASK, backbone.blocks)
    for block in backbone.blocks:
        st.session_state.setdefault(Key.LAUNCH_BLOCK.of(block), block in first)
    st.session_state.setdefault(Key.LAUNCH_MASK_NAME, _name(backbone, kept(backbone)))


def kept(backbone: BackboneInfo) -> tuple[str, ...]:
    """The kept modules in network order."""
    return tuple(block for block in backbone.blocks if st.session_state.get(Key.LAUNCH_BLOCK.of(block)))


def draw(backbone: BackboneInfo, row: Sequence[Stage]) -> None:
    """Shortcuts of the published masks, and under them the network."""
    st.pills(
        "Published masks",
        list(backbone.masks),
        key=Key.LAUNCH_MASK_NAME,
        on_change=_take_named,
        args=(backbone,),
        help="The nine masks of Kabir et al., table 3. Ref-1 is SqueezeNet-P.",
        persist_state="session",
    )
    with st.container(key="fire_row", horizontal=True, gap="small"):
        for stage in row:
            if stage.is_block:
                st.checkbox(
                    f"**{stage.name}** {stage.detail}",
                    key=Key.LAUNCH_BLOCK.of(stage.name),
                    on_change=_name_again,
                    args=(backbone,),
                    persist_state="session",
                )
            else:
                st.html(
                    f'<div class="sf-op"><span>{escape(stage.name)}</span><span>{escape(stage.detail)}</span></div>',
                    width="content",
                )


def _take_named(backbone: BackboneInfo) -> None:
    name = st.session_state.get(Key.LAUNCH_MASK_NAME)
    if name is None:  # a second click on the chosen mask: it stays what it is
        st.session_state[Key.LAUNCH_MASK_NAME] = _name(backbone, kept(backbone))
        return
    for block in backbone.blocks:
        st.session_state[Key.LAUNCH_BLOCK.of(block)] = block in backbone.masks[name]


def _name_again(backbone: BackboneInfo) -> None:
    st.session_state[Key.LAUNCH_MASK_NAME] = _name(backbone, kept(backbone))


def _name(backbone: BackboneInfo, mask: tuple[str, ...]) -> str | None:
    return next((name for name, blocks in backbone.masks.items() if tuple(blocks) == mask), None)
