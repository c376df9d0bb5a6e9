"""The energy lens as the address bar holds it: mode, profile and moved prices, on every page that prices runs."""

from __future__ import annotations

from core.schemas.catalog import Catalog
from frontend.keys import Key
from frontend.parts import lens
from frontend.parts.address import Part, number, one_of

KEPT = ("mode", "profile")  # of the session, where an address leaves them out


def parts(catalog: Catalog) -> dict[str, Part]:
    """Name in the address -> what it stands for."""
    prices = {
        name: Part(key=Key.PRICE.of(name), default=1.0, read=lambda text: number(text, lens.STOPS), quick=True)
        for name in lens.PRICES
    }
    return {
        "mode": Part(key=Key.MODE, default=catalog.default_mode, read=one_of([item.name for item in catalog.modes])),
        "profile": Part(
            key=Key.PROFILE, default=catalog.default_profile, read=one_of([item.name for item in catalog.profiles])
        ),
        **prices,
    }
