"""A search over the wirings of a cell: its plan, its weights, and a run that is stopped and goes on."""

import pytest
import torch
from training import go, numbers, stop_at

from core.backbones.litesnn import EDGES, decoded_cell, edge_of_norm, edges_of_nodes, every_wiring, wiring
from core.bundle import Bundle
from core.engine.network import Network
from core.errors import BadValue, Interrupted
from core.exchange.source import read
from core.recipes.build import build_config, command, found_overrides, override, plan_of, request_of
from core.schemas.request import RunRequest
from core.schemas.run import RunConfig

SMALL = {"train_limit": 40, "batch_size": 20, "max_epochs": 2, "time_steps": 1, "architecture.filters": 4}


def searching(**overrides: object) -> RunConfig:
    return build_config(
        RunRequest(backbone="litesnn", mask=["C3"], overrides={**SMALL, "search.what": "cell", **overrides})
    )


def test_three_nodes_have_eighteen_wirings_and_all_are_different() -> None:
    found = every_wiring()
    assert len(found) == len(set(found)) == 1 * 3 * 6
    assert all(len(pair) == 2 for cell in found for pair in wiring(cell))
    assert [len(own) for own in wiring("all")] == [2, 3, 4] and EDGES == 9


def test_decoding_keeps_the_two_heaviest_edges_of_each_node() -> None:
    weights = [0.5, 0.5, 0.2, 0.5, 0.3, 0.1, 0.3, 0.3, 0.3]
    assert decoded_cell(weights) == (
        "0,1|3,4|6,7",  # of the three that are equal the first two
        [True, True, False, True, True, False, True, True, False],
    )


def test_what_is_trained_has_every_edge_and_computes_with_two_a_node() -> None:
    wanted = searching()
    plan, network = plan_of(wanted), Network(plan_of(wanted), wanted)
    assert sorted(set(edge_of_norm(plan).values())) == list(range(EDGES))
    shares = network.train().searched.edges().detach()
    assert [float(shares[own[0] : own[-1] + 1].sum()) for own in edges_of_nodes()] == pytest.approx([1, 1, 1])
    assert (
        float(network.searched.scale(0).detach()) == 1.0
    )  # of two edges, 2 x 1/2: as in the network that has these two alone
    cell, wired = decoded_cell([0.5, 0.5, 0.2, 0.5, 0.3, 0.1, 0.3, 0.3, 0.3])
    network.searched.wired.copy_(torch.tensor(wired))
    alone = override(wanted, {"search.what": "nothing", "architecture.cell": cell})
    other = Network(plan_of(alone), alone).eval()
    state = network.state_dict()
    other.load_state_dict({name: state[name] for name in other.state_dict()})
    x = torch.randn(3, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(network.eval()(x), other(x))


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"architecture.cell": "0,1|2,3|5,7"}, "architecture.cell"),
        ({"search.bit_synops_m": 1.0}, "search.bit_synops_m"),
    ],
)
def test_what_a_search_over_cells_decides_is_not_given(overrides: dict, field: str) -> None:
    with pytest.raises(BadValue) as refused:
        searching(**overrides)
    assert refused.value.fields["field"] == field


def test_a_stopped_search_over_cells_ends_as_if_it_had_not_been(tmp_path) -> None:
    wanted = searching()
    go(wanted, tmp_path / "whole")
    with pytest.raises(Interrupted):
        go(wanted, tmp_path / "run", should_stop=stop_at(2))
    go(wanted, tmp_path / "run")
    whole = Bundle(tmp_path / "whole")
    assert Bundle(tmp_path / "run").search() == whole.search()
    assert numbers(tmp_path / "run") == numbers(tmp_path / "whole")
    found = whole.search().epochs[-1]
    assert found.decoded.cell in every_wiring() and decoded_cell(found.edges)[0] == found.decoded.cell
    assert len(set(found.edges)) > 3  # they have moved
    with pytest.raises(BadValue, match="every edge of its cells"):
        read(whole)
    alone = override(wanted, found_overrides(wanted, found.decoded))
    assert not alone.search.is_on and build_config(request_of(alone)) == alone
    assert "search." not in command(alone)
