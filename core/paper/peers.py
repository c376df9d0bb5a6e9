"""Networks of others with printed figures on data sets that Kabir et al. do not use.

NeuroBench counts effective operations as the mode `exact` does, over a whole clip, and prints no energy: the one here is its
counts at the prices of Kabir et al. Its networks and features are other ones than ours, so its points are a scale, no rival.
"""

from __future__ import annotations

from core.energy.price import energy_pj
from core.energy.profiles import profiles
from core.schemas.pareto import PublishedPoint
from core.schemas.prices import DEFAULT_PROFILE
from core.schemas.run import Kind

NEUROBENCH = "NeuroBench (arXiv:2304.04640), README of its Speech Commands benchmark"
FLOAT = 4  # bytes
#: Model, kind, accuracy on the 35 words of v0.02, footprint in bytes, effective ACs and MACs a clip; as printed there.
PRINTED = (
    ("20-256-256-256-35", Kind.SNN, 0.8563, 583_900, 3_289_834, 0),
    ("M5", Kind.CNN, 0.8653, 109_228, 0, 1_728_071),
)


def peers(dataset: str) -> list[PublishedPoint]:
    """The printed points of others for a data set; none where we know of none."""
    if dataset != "speech_commands":
        return []
    prices = profiles()[DEFAULT_PROFILE]
    return [
        PublishedPoint(
            model=model,
            kind=kind,
            table="NeuroBench",
            accuracy=accuracy,
            f1_macro=None,
            params=size // FLOAT,
            acs=acs,
            macs=macs,
            energy_pj=float(energy_pj(acs, macs, prices)),
            source=NEUROBENCH,
            energy_is=f"its counts of a whole clip at {prices.ac_pj:g} pJ an AC and {prices.mac_pj:g} pJ a MAC; it prints none",
            model_bytes=size,
        )
        for model, kind, accuracy, size, acs, macs in PRINTED
    ]
