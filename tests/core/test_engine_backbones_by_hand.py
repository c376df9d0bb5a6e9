"""The twins against the published blocks written out in torch: what is split, mixed, gated and summed with what."""

import pytest
import torch
from torch.nn import functional as F

from core.backbones.catalog import plan_for
from core.engine.network import Network
from core.schemas.run import Kind, RunConfig


class ByHand:
    """Named layers of a network as functions, normalised over the batch as in training."""

    def __init__(self, backbone, mask):
        plan = plan_for(backbone=backbone, mask=mask, input_shape=(3, 16, 16), n_classes=10)
        config = RunConfig(backbone=backbone, mask=plan.mask, kind=Kind.CNN)
        self.network = Network(plan, config).double()
        self.w = self.network.state_dict()
        self.x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def conv(self, name, x, stride=1, groups=1, padding=None):
        weight = self.w[f"{name}.weight"]
        padding = weight.shape[-1] // 2 if padding is None else padding
        return F.conv2d(x, weight, self.w.get(f"{name}.bias"), stride, padding, 1, groups)

    def bn(self, name, x):
        return F.batch_norm(x, None, None, self.w[f"{name}.weight"], self.w[f"{name}.bias"], training=True)

    def linear(self, name, x, stride=1, groups=1):
        return self.bn(f"{name}.bn", self.conv(f"{name}.conv", x, stride, groups))

    def unit(self, name, x, stride=1, groups=1):
        return F.relu(self.linear(name, x, stride, groups))

    def classify(self, x):
        return self.conv("classifier.conv", x.mean((2, 3), keepdim=True)).flatten(1)

    def check(self, out):
        torch.testing.assert_close(self.network(self.x)[0], out, rtol=1e-9, atol=1e-10)


def test_shufflenetv2():
    h = ByHand("shufflenetv2", ("S2.1", "S2.2"))
    x = F.max_pool2d(h.unit("stem", h.x, stride=2), 3, 2, 1)
    left = h.unit("S2.1.left", h.linear("S2.1.left_depth", x, 2, 24))
    right = h.unit("S2.1.right", h.linear("S2.1.depth", h.unit("S2.1.reduce", x), 2, 58))
    # [2, 58] channels transposed: 0, 58, 1, 59, ...
    order = torch.arange(116).reshape(2, 58).t().reshape(-1)
    x = torch.cat((left, right), 1)[:, order]
    right = h.unit("S2.2.right", h.linear("S2.2.depth", h.unit("S2.2.reduce", x[:, 58:]), 1, 58))
    x = torch.cat((x[:, :58], right), 1)[:, order]
    h.check(h.classify(h.unit("head", x)))


def test_mnasnet_with_a_shortcut_and_without():
    h = ByHand("mnasnet", ("M1.1", "M2.2", "M2.3"))
    x = h.unit("stem", h.x)
    x = h.linear("M1.1.project", h.unit("M1.1.depth", x, 1, 32))
    for name, mid, shortcut in (("M2.2", 12, False), ("M2.3", 18, True)):  # 4 channels in and 6 out, then 6 and 6
        y = h.linear(f"{name}.project", h.unit(f"{name}.depth", h.unit(f"{name}.expand", x), 1, mid))
        x = x + y if shortcut else y
    h.check(h.classify(h.unit("head", x)))


def test_mixnet_with_mixed_kernels_grouped_convolutions_and_a_gate():
    h = ByHand("mixnet", ("X3.2",))
    x = h.unit("stem", h.x)  # 8 channels, 4 in each group, expanded to 24 each
    y = torch.cat([h.unit(f"X3.2.expand{n}", part) for n, part in enumerate(x.split(4, 1), 1)], 1)
    y = torch.cat([h.unit(f"X3.2.depth{n}", part, 1, 24) for n, part in enumerate(y.split(24, 1), 1)], 1)
    assert [h.w[f"X3.2.depth{n}.conv.weight"].shape[-1] for n in (1, 2)] == [3, 5]
    squeezed = F.relu(h.conv("X3.2.gate.reduce.conv", y.mean((2, 3), keepdim=True)))
    assert squeezed.shape[1] == 8 // 2
    y = y * torch.sigmoid(h.conv("X3.2.gate.expand.conv", squeezed))
    y = torch.cat([h.linear(f"X3.2.project{n}", part) for n, part in enumerate(y.split(24, 1), 1)], 1)
    h.check(h.classify(h.unit("head", x + y)))


@pytest.mark.parametrize("middle", ["M1", "M5"])
def test_xception_sums_before_it_activates(middle):
    h = ByHand("xception", ("E2", "E3", middle))

    def separable(name, x):
        return h.bn(f"{name}.bn", h.conv(f"{name}.point", h.conv(f"{name}.depth", x, 1, x.shape[1])))

    x = F.relu(h.linear("stem2", F.relu(h.linear("stem1", h.x))))
    for block in ("E2", "E3"):
        # behind the stem's activation E2 needs none of its own
        y = separable(f"{block}.sep1", F.relu(x))
        y = F.max_pool2d(separable(f"{block}.sep2", F.relu(y)), 3, 2, 1)
        x = y + h.linear(f"{block}.shortcut", x, 2)
    y = x
    for number in (1, 2, 3):
        y = separable(f"{middle}.sep{number}", F.relu(y))
    x = x + y
    for number in (1, 2):
        x = F.relu(separable(f"exit{number}", x))
    h.check(h.classify(x))


def test_msresnet_adds_currents_and_projects_the_spikes_where_it_halves():
    h = ByHand("msresnet", ("R1.2", "R3.3"))
    x = h.linear("stem", h.x)
    for name, stride in (("R1.2", 1), ("down2", 2), ("down3", 2), ("R3.3", 1)):
        fired = F.relu(x)  # in the spiking network these are spikes
        y = h.linear(f"{name}.second", F.relu(h.linear(f"{name}.first", fired, stride)))
        x = y + (x if stride == 1 else h.linear(f"{name}.shortcut", fired, stride))
    h.check(h.classify(F.relu(x)))  # the mean before the classifier and behind it are the same sum
