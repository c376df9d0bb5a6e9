"""Printed networks of others on the plot of Speech Commands."""

import pytest

from core.paper.printed import published
from core.report.charts.pareto_hover import printed_hover
from core.schemas.pareto import PublishedPoint
from core.schemas.run import Kind


def test_neurobenchs_two_networks_stand_on_the_plot_of_v2_and_on_no_other():
    spiking, cnn = published("speech_commands")
    assert (spiking.kind, cnn.kind) == (Kind.SNN, Kind.CNN)
    assert spiking.energy_pj == pytest.approx(0.9 * 3_289_834) and cnn.energy_pj == pytest.approx(4.6 * 1_728_071)
    # layers of 20, 256, 256, 256 and 35 with biases; the printed footprint of 583,900 bytes holds 20 floats more
    weights = 20 * 256 + 2 * 256 * 256 + 256 * 35 + 3 * 256 + 35
    assert spiking.params - weights == 20
    assert published("speech_commands_v1") == published("digits") == []


def test_their_source_and_what_their_energy_is_are_said_and_the_papers_stay_as_they_were():
    said = printed_hover(published("speech_commands")[0], None, (1e6, "µJ"))
    assert "NeuroBench" in said and "at 0.9 pJ an AC and 4.6 pJ a MAC; it prints none" in said and "Kabir" not in said
    old = {"model": "M", "kind": "snn", "table": "Table 1", "accuracy": 0.8, "energy_pj": 1e6}
    point = PublishedPoint.model_validate(
        old | dict.fromkeys(("f1_macro", "params", "acs", "macs"))
    )  # of an older share
    said = printed_hover(point, None, (1e6, "µJ"))
    assert "Kabir et al., arXiv:2602.09717, Table 1" in said and "of one time step" in said
