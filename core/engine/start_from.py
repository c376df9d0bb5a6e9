"""Weights of one run as another run begins with them: what fits is taken as it is, and what does not is refused."""

from __future__ import annotations

from torch import Tensor

from core.engine.network import Network
from core.errors import BadValue
from core.recipes.build import plan_of
from core.schemas.run import RunConfig


def adapt(state: dict[str, Tensor], source: RunConfig, target: RunConfig) -> dict[str, Tensor]:
    """The state with which a run of `target` begins, from the weights of a finished run of `source`.

    Names and shapes are the plan's, so T, the surrogate, the reset and all of the training may differ, and a network and
    its CNN twin share them. What neurons learn (plif's leak) begins anew where the source has none, and is left out
    where the target has none. Raises BadValue, naming the first weight that does not fit.
    """
    fresh = Network(plan_of(target), target)
    wanted = fresh.state_dict()
    learned = {f"{node.name}." for node in fresh.act_nodes}
    own = tuple(learned)
    found = {name: value for name, value in state.items() if name in wanted or not name.startswith(own)}
    found |= {name: value for name, value in wanted.items() if name not in found and name.startswith(own)}
    for name in sorted(wanted.keys() | found.keys()):
        has, needs = (_shape(values.get(name)) for values in (found, wanted))
        if has != needs:
            network = f"{source.backbone} {','.join(source.mask)} on {source.dataset}"
            raise BadValue(
                field="start_bundle",
                value=target.start_bundle,
                expected=f"the weights of the same network: {name} is {has} in {network}, and {needs} here",
            )
    return found


def _shape(value: Tensor | None) -> str:
    return "missing" if value is None else "x".join(map(str, value.shape)) or "one number"
