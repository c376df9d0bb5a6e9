"""How large a run's network is on the axes of Explore, by each reading of its weights' size."""

from types import SimpleNamespace

from backend.pareto.service import sizes
from core.compression import plan_size
from core.recipes.build import build_config, plan_of
from core.report.charts.axes import SIZES, X_AXES
from core.schemas.request import RunRequest


def row(config, params, compression):
    return SimpleNamespace(
        params=params, compression=compression, dataset=config.dataset, backbone=config.backbone, mask=config.mask,
        definition=config.definition, architecture=config.architecture.model_dump(),
    )  # fmt: skip


def test_a_compressed_network_has_three_sizes_and_any_other_one() -> None:
    config = build_config(RunRequest(mask="P", overrides={"keep": 0.2, "bits": 2}))
    plan = plan_of(config)
    found = sizes(row(config, plan.params, config.compression.model_dump(mode="json")))
    size = plan_size(plan, config.compression)
    rest = 4 * (plan.params - size.weights)
    assert found == {
        "kept_bytes": size.kept_bytes + rest,
        "bitmap_bytes": size.bitmap_bytes + rest,
        "entropy_bytes": size.entropy_bytes + rest,
    }
    assert found["kept_bytes"] < found["entropy_bytes"] < found["bitmap_bytes"] < 4 * plan.params
    assert set(found) < set(SIZES) < set(X_AXES)
    # a run from before there was any compression, and one without
    for compression in (None, build_config(RunRequest(mask="P")).compression.model_dump(mode="json")):
        assert set(sizes(row(config, plan.params, compression)).values()) == {4 * plan.params}


def test_a_network_that_is_no_longer_known_has_no_size() -> None:
    config = build_config(RunRequest(mask="P", overrides={"keep": 0.2}))
    gone = row(config, 100, config.compression.model_dump(mode="json"))
    gone.backbone = "vanished"
    assert set(sizes(gone).values()) == {None}
