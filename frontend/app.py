"""The dashboard: navigation only. `main` is run at each interaction."""

from __future__ import annotations

import streamlit as st

from frontend.places import PLACES, PRODUCT, page

# A picture of our own: Streamlit's icons for the browser tab would be fetched from another site.
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0b6b8f"/>'
    '<path d="M4 22h6l3-14 4 18 3-9h8" fill="none" stroke="#fff" stroke-width="2.6" stroke-linejoin="round"/></svg>'
)


def main() -> None:
    st.set_page_config(
        page_title=PRODUCT,
        page_icon=ICON,
        layout="wide",
        # An entry of our own keeps the menu, and with it the choice of light or dark.
        menu_items={"About": "**Spikefront**: how much accuracy a light spiking network buys for its energy."},
    )
    chosen = st.navigation([page(name) for name in PLACES], position="top")
    chosen.run()


if __name__ == "__main__":  # as a script of its own, in tests
    main()
