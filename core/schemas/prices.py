"""How energy is priced: what is taken where nobody chose, and prices moved away from those of a profile."""

from __future__ import annotations

from pydantic import Field

from core.schemas.base import Frozen

DEFAULT_MODE = "exact"
DEFAULT_PROFILE = "horowitz-45nm"
HIGHEST = 10.0  # times a profile's price: as far as a price is tried out


class Factors(Frozen):
    """How many times the profile's own price each kind of operation costs; 1 is the profile as it is."""

    ac: float = Field(
        default=1.0, ge=0, le=HIGHEST, allow_inf_nan=False, description="price of an AC: times the profile's"
    )
    mac: float = Field(default=1.0, ge=0, le=HIGHEST, allow_inf_nan=False, description="the same of a MAC")
    memory: float = Field(
        default=1.0, ge=0, le=HIGHEST, allow_inf_nan=False, description="the same of memory accesses and addresses"
    )

    @property
    def factors(self) -> Factors:
        """These three alone, of a model that holds more."""
        return Factors(ac=self.ac, mac=self.mac, memory=self.memory)

    @property
    def moved_prices(self) -> str:
        """` with its price of AC ×2, of MAC ×0.5`, to stand after a profile's name; empty where nothing is moved."""
        times = {"AC": self.ac, "MAC": self.mac, "memory": self.memory}
        moved = ", of ".join(f"{name} ×{factor:g}" for name, factor in times.items() if factor != 1)
        return f" with its price of {moved}" if moved else ""


AS_PUBLISHED = Factors()
