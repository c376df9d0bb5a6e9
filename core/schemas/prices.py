"""How energy is priced: what is taken where nobody chose, and prices moved away from those of a profile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field, field_serializer, field_validator

from core.errors import BadValue
from core.schemas.base import Frozen

DEFAULT_MODE = "exact"
DEFAULT_PROFILE = "horowitz-45nm"
HIGHEST = 10.0  # times a profile's price: as far as a price is tried out


class PriceQuery(Frozen):
    """Of an address: in which mode, and at which profile's prices."""

    mode: str = DEFAULT_MODE
    profile: str = DEFAULT_PROFILE


class Constant(Frozen):
    """One price of a hardware profile and where it is printed."""

    name: str
    pj: float
    source: str


class Profile(Frozen):
    """Prices of one piece of hardware.

    ac_pj, mac_pj: pJ of one accumulate and one multiply-accumulate. `constants`: every priced kind of operation by
    name; a list in JSON. A neuromorphic chip has a price of a synaptic operation and none of a MAC, so its MACs are
    done on a host, at the prices of the profile `mac_from`. Not modelled: routing between chips, control, leakage,
    idle power.
    """

    name: str
    title: str
    source: str
    process: str = ""
    status: str = Field(default="", description="how sure the prices are: published, simulated, disputed")
    ac_pj: float
    mac_pj: float
    constants: dict[str, Constant] = Field(default_factory=dict, repr=False)
    ac_range: tuple[float, float] = Field(
        description="lowest and highest published price of an AC; twice the same where one is known"
    )
    mac_range: tuple[float, float]
    mac_from: str | None = Field(default=None, description="the profile that lends the prices this hardware lacks")
    synop_with_memory: bool = Field(
        default=False, description="the AC price contains the memory traffic of event-driven layers"
    )
    neuron_pj: float | None = Field(default=None, description="a whole neuron update, where published")
    host_ac_pj: float | None = Field(default=None, description="an accumulate of the host that lends prices")
    word_bits: int = Field(default=32, description="what a memory access moves")

    @field_validator("constants", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """From the list that JSON has."""
        if isinstance(value, dict) or not isinstance(value, Iterable):
            return value
        constants = [Constant.model_validate(one) for one in value]
        return {one.name: one for one in constants}

    @field_serializer("constants")
    def _listed(self, constants: dict[str, Constant]) -> list[Constant]:
        return list(constants.values())

    def constant_pj(self, name: str) -> float:
        """The price of a kind of operation; raises BadValue where the profile has none."""
        if name not in self.constants:
            raise BadValue(field="profile", value=self.name, expected=f"one that has a price of {name}")
        return self.constants[name].pj


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
