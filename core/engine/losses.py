"""The terms of the loss: each a function of outputs, gradients or activations, with its equation and source.

Shapes: T time steps (1 for a CNN), N images, C classes, L layers, K channels. o[t] is the raw output of step t
and o = 1/T sum_t o[t] their mean. `core.engine.objective` weighs and adds them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 1e-12  # norm below which a Grad-CAM map counts as empty


def cross_entropy_of_mean(outputs_TNC: Tensor, labels_N: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the output averaged over time: L = CE(o, y), mean over the batch.

    outputs_TNC: float, raw (no softmax); labels_N: int64 in [0, C). With `label_smoothing` s the target is
    (1 - s) onehot(y) + s / C (Szegedy et al., CVPR 2016, section 7).
    """
    return F.cross_entropy(outputs_TNC.mean(0), labels_N, label_smoothing=label_smoothing)


def cross_entropy_of_probability(outputs_TNC: Tensor, labels_N: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the probability averaged over time: L = -log p_y, p = 1/T sum_t softmax(o[t]), batch mean.

    Equation 3.2 of the thesis behind Kabir et al. (arXiv:2602.09717) as printed. By Jensen's inequality it lies above
    or below `cross_entropy_of_mean`, and equals it at T = 1. Label smoothing s as there: (1 - s) (-log p_y)
    + s / C sum_c (-log p_c).
    """
    steps = outputs_TNC.shape[0]
    # the mean is taken of logarithms, so that a small probability keeps its gradient
    log_p_NC = outputs_TNC.log_softmax(2).logsumexp(0) - math.log(steps)
    true = F.nll_loss(log_p_NC, labels_N)
    return (1 - label_smoothing) * true - label_smoothing * log_p_NC.mean()


def cross_entropy_of_prefixes(outputs_TNC: Tensor, labels_N: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """[T]: cross-entropy of the mean output of the first 1, 2, .. steps, CE(1/t sum_{s<=t} o[s], y), batch mean.

    What a search over time steps weighs by q (Liu et al., IJCAI 2024, arXiv:2401.14652): L = sum_t q_t CE_t.
    """
    n = torch.arange(1, len(outputs_TNC) + 1, device=outputs_TNC.device).view(-1, 1, 1)
    means_TNC = outputs_TNC.cumsum(0) / n
    losses = [F.cross_entropy(mean_NC, labels_N, label_smoothing=label_smoothing) for mean_NC in means_TNC]
    return torch.stack(losses)


def temporal_efficient(
    outputs_TNC: Tensor, labels_N: Tensor, *, share: float, phi: float, label_smoothing: float = 0.0
) -> Tensor:
    """Temporal efficient training (Deng et al., ICLR 2022, arXiv:2202.11946).

    L = (1 - lambda) 1/T sum_t CE(o[t], y) + lambda 1/T sum_t MSE(o[t], phi), lambda = `share`: every step is to answer
    by itself, and no output is to stray far. phi is 1 in the authors' code (`means`), whatever the threshold.
    """
    steps = outputs_TNC.shape[0]
    each = F.cross_entropy(outputs_TNC.flatten(0, 1), labels_N.repeat(steps), label_smoothing=label_smoothing)
    return (1 - share) * each + share * (outputs_TNC - phi).square().mean()


def distillation(outputs_TNC: Tensor, teacher_NC: Tensor, temperature: float) -> Tensor:
    """What the network's answers lack of the teacher's (Hinton et al. 2015, arXiv:1503.02531, section 2).

    L = tau^2 KL(softmax(teacher / tau) || softmax(o / tau)), mean over the batch; tau^2 keeps the gradient's size
    independent of tau. teacher_NC: raw outputs, without a gradient.
    """
    return _divergence(outputs_TNC.mean(0), teacher_NC, temperature)


def distillation_per_step(outputs_TNC: Tensor, teacher_NC: Tensor, temperature: float) -> Tensor:
    """The same asked of every step: L = 1/T sum_t tau^2 KL(softmax(teacher / tau) || softmax(o[t] / tau)).

    Yu et al., ICML 2025 (arXiv:2501.15925): steps that answer alike, so that an early one may be taken.
    """
    return _divergence(outputs_TNC.flatten(0, 1), teacher_NC.repeat(outputs_TNC.shape[0], 1), temperature)


def _divergence(own_NC: Tensor, teacher_NC: Tensor, temperature: float) -> Tensor:
    own = F.log_softmax(own_NC / temperature, 1)
    wanted = F.log_softmax(teacher_NC / temperature, 1)
    return temperature**2 * F.kl_div(own, wanted, reduction="batchmean", log_target=True)


def firing_rate_penalty(spikes_L: Sequence[Tensor], target: float) -> Tensor:
    """L = 1/L sum_l max(0, r_l - target)^2, r_l = spikes of layer l / (neurons x T x N) in [0, 1].

    The squared upper bound on activity of Zenke & Vogels (Neural Computation 2021), applied to the rate of a layer.
    spikes_L: the output of each neuron layer, {0, 1}; the gradient passes through the surrogates. Mean over layers,
    not neurons, so that a deep layer with few neurons counts as much as a wide early one.
    """
    rates_L = torch.stack([spikes.mean() for spikes in spikes_L])
    return (rates_L - target).clamp(min=0).square().mean()


def accumulates(spikes_L: Sequence[Tensor], reached_L: Sequence[Tensor]) -> Tensor:
    """Accumulates of a batch, [] float64: sum over layers, rows and pixels of spikes x the outputs that they reach.

    spikes_L: of each value that synapses read, [rows, K, H, W] in {0, 1}; reached_L: for each of them [H x W], F of
    every pixel (`core.engine.count.reached_outputs`), or [H x W, K], summed over the layers that read it. Float64, so that the sum is
    the integer that the counter finds; the gradient passes through the surrogates.
    """
    rows = zip(spikes_L, reached_L, strict=True)

    def of_value(spikes: Tensor, reached: Tensor) -> Tensor:
        if reached.dim() == 1:
            return (spikes.sum(1).flatten(1).double() @ reached).sum()
        return (spikes.sum(0).flatten(1).double() * reached.T).sum()

    return torch.stack([of_value(*row) for row in rows]).sum()


def accumulates_penalty(acs: Tensor, target: float) -> Tensor:
    """L = max(0, A / target - 1)^2, A = `acs`, accumulates per image over all steps: [] float, at or above 0.

    A spike costs what it reaches, after the synaptic-operation loss of Sorbaro et al. (Frontiers in Neuroscience
    14:662, 2020), and nothing below the target. Relative, so that its weight does not depend on the network's size.
    """
    return (acs / target - 1).clamp(min=0).square()


def gradient_aware(loss: Tensor, weights_L: Sequence[Tensor], eps: float) -> Tensor:
    """L_GA = sum_l (1 - ||g_l|| / (||g_l|| + eps)), g_l = dL_CE / dW_l (Kabir et al., arXiv:2602.09717).

    It is large where a layer's gradient vanishes. `loss` is L_CE; the result is differentiable, so its own gradient
    holds the second derivatives of the loss (in a spiking network those of the surrogate). Written as
    sum_l eps / (||g_l|| + eps), the same number without the cancellation. Needs `Network.fused = False`.
    """
    gradients = torch.autograd.grad(loss, list(weights_L), create_graph=True)
    norms_L = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
    return (eps / (norms_L + eps)).sum()


def grad_cam(activations: Tensor, scores_N: Tensor) -> Tensor:
    """Where the network looks for a class: the Grad-CAM map [N, H, W] >= 0, over all time steps.

    M = ReLU(sum_k a_k A_k), A_k = 1/T sum_t A_k[t], a_k = 1/(HW) sum_t sum_ij d score / dA_k[t]_ij (Selvaraju et al.,
    ICCV 2017, equations 1 and 2, which are those of T = 1). Differentiable.
    activations: [T x N, K, H, W], time outermost; scores_N: each image's raw output for the class.
    """
    (slope,) = torch.autograd.grad(scores_N.sum(), activations, create_graph=True)
    slope_TNKHW, values_TNKHW = (x.unflatten(0, (-1, len(scores_N))) for x in (slope, activations))
    weights_NK = slope_TNKHW.sum(0).mean((2, 3))
    return torch.einsum("nk,nkhw->nhw", weights_NK, values_TNKHW.mean(0)).relu()


def grad_cam_aware(activations: Tensor, outputs_TNC: Tensor, labels_N: Tensor) -> Tensor:
    """Our reading of a term "to encourage discriminative activation patterns", whose formula is not printed.

    L_GC = 1/N sum_n <M_y, M_r> / (||M_y|| ||M_r||) in [0, 1]: the cosine between the Grad-CAM map of the true class
    y and that of the strongest wrong class r = argmax_{c != y} o_c. It is 0 where the evidence for the two classes
    lies at different places, or where there is none for one of them, and 1 where the two maps differ in scale only.
    activations: as in `grad_cam`. Needs `Network.fused = False`.
    """
    mean_NC = outputs_TNC.mean(0)
    chosen_N1 = labels_N.unsqueeze(1)
    rival_N1 = mean_NC.detach().scatter(1, chosen_N1, -torch.inf).argmax(1, keepdim=True)
    true, rival = (
        F.normalize(grad_cam(activations, mean_NC.gather(1, classes_N1)).flatten(1), dim=1, eps=SMALLEST)
        for classes_N1 in (chosen_N1, rival_N1)
    )
    return (true * rival).sum(1).mean()
