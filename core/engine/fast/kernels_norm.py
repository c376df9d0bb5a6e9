"""Compiled CPU loops for batch normalisation joined to a neuron or a ReLU; rules and legend as in kernels.py.

Values are channels_last, [T, R, C]. A suffix L is C repeated over a group of rows, so that the inner
loops are long enough to vectorise. Few arrays meet in one loop: past a handful the compiler cannot
prove them apart and falls back to one element at a time.
"""

from __future__ import annotations

import numpy as np

from core.engine.fast.kernels import PI, charged, compiled, slopes

LANES = 512  # length of a group of rows x channels: its scratch stays in the first-level cache


@compiled
def moments(x_RC, mean_BC, spread_BC, rows, start, stop):
    """Mean and sum of squared deviations of each channel, for blocks start:stop of `rows` rows. float64 out."""
    total, channels = x_RC.shape
    kind = x_RC.dtype.type
    mean, sums = np.empty(channels, x_RC.dtype), np.empty(channels, x_RC.dtype)
    for block in range(start, stop):
        low, high = block * rows, min(block * rows + rows, total)
        sums[:] = kind(0)
        for r in range(low, high):
            for c in range(channels):
                sums[c] += x_RC[r, c]
        for c in range(channels):
            mean[c] = sums[c] / kind(high - low)
        sums[:] = kind(0)
        for r in range(low, high):
            for c in range(channels):
                away = x_RC[r, c] - mean[c]
                sums[c] += away * away
        for c in range(channels):
            mean_BC[block, c] = mean[c]
            spread_BC[block, c] = sums[c]


@compiled
def _nonzero(row_C):
    filled = np.int32(0)  # 32 bits wide: twice the lanes of the default 64
    for c in range(row_C.shape[0]):
        filled = np.int32(filled + np.int32(row_C[c] != 0))
    return filled


@compiled
def bn_lif_forward(
    x_TRC, scale_L, shift_L, s_TRC, offset, map_TR, tau, inverse, keep, v_threshold, v_start, soft, start, stop
):
    """Spikes of y = x scale + shift, into channels offset: of the output, and the number of spikes of each row
    where a map is given (else None). The neuron is that of `kernels.lif_forward`."""
    steps = s_TRC.shape[0]
    moving = x_TRC.shape[0] > 1
    channels = x_TRC.shape[2]
    one = x_TRC.dtype.type(1)
    zero = x_TRC.dtype.type(0)
    length = scale_L.shape[0]
    group = length // channels
    x_TM = x_TRC.reshape(x_TRC.shape[0], -1)
    v, s = np.empty(length, x_TRC.dtype), np.empty(length, x_TRC.dtype)
    for r in range(start, stop, group):
        count = min(group, stop - r)
        v[:] = v_start
        for t in range(steps):
            x = x_TM[t if moving else 0, r * channels : (r + count) * channels]
            for i in range(count * channels):
                h = charged(x[i] * scale_L[i] + shift_L[i], v[i], tau, inverse, keep)
                fired = h >= v_threshold
                s[i] = one if fired else zero
                left = h - v_threshold if soft else zero
                v[i] = left if fired else h
            for k in range(count):
                row, target = s[k * channels : (k + 1) * channels], s_TRC[t, r + k, offset : offset + channels]
                for c in range(channels):
                    target[c] = row[c]
                if map_TR is not None:
                    map_TR[t, r + k] = _nonzero(row)


@compiled
def bn_lif_backward(
    x_TRC, scale_L, shift_L, mean_L, gs_TRC, offset, gy_TRC, sum_BL, dot_BL, gq_BL,
    tau, inverse, keep, v_threshold, v_start, soft, detach, surrogate, alpha, rows, start, stop,
):  # fmt: skip
    """Writes dL/dy (over T where the input is constant) and, for blocks of `rows` rows, the sums over rows of
    dL/dy and of dL/dy (x - mean), and with gq_BL (else None) of dL/dq, q = 1 / tau; lane k C + c of L belongs to
    channel c. The gradients are those of `kernels.lif_backward`."""
    steps = gs_TRC.shape[0]
    moving = x_TRC.shape[0] > 1
    total, channels = x_TRC.shape[1:]
    real = x_TRC.dtype.type
    one, zero = real(1), real(0)
    half = alpha * real(0.5)
    slope = half * real(PI)
    length = scale_L.shape[0]
    group = length // channels
    whole = gs_TRC.shape[2] == channels
    x_TM, gy_TM = x_TRC.reshape(x_TRC.shape[0], -1), gy_TRC.reshape(gy_TRC.shape[0], -1)
    gs_TM = gs_TRC.reshape(steps, -1)
    h_TL = np.empty((steps, length), x_TRC.dtype)
    v_TL = np.empty((1 if gq_BL is None else steps, length), x_TRC.dtype)
    sigma, gqs, gh_L = np.empty(length, x_TRC.dtype), np.empty(length, x_TRC.dtype), np.empty(length, x_TRC.dtype)
    v, g, joined = np.empty(length, x_TRC.dtype), np.empty(length, x_TRC.dtype), np.empty(length, x_TRC.dtype)
    sums, dots = np.empty(length, x_TRC.dtype), np.empty(length, x_TRC.dtype)
    for block in range(start, stop):
        sums[:] = zero
        dots[:] = zero
        gqs[:] = zero
        high = min((block + 1) * rows, total)
        for r in range(block * rows, high, group):
            count = min(group, high - r)
            low, size = r * channels, count * channels
            v[:] = v_start
            for t in range(steps):
                x = x_TM[t if moving else 0, low : low + size]
                h_now, v_now = h_TL[t], v_TL[0 if gq_BL is None else t]
                for i in range(size):
                    h = charged(x[i] * scale_L[i] + shift_L[i], v[i], tau, inverse, keep)
                    h_now[i] = h
                    if gq_BL is not None:
                        v_now[i] = v[i]
                    left = h - v_threshold if soft else zero
                    v[i] = left if h >= v_threshold else h
            v[:] = zero  # from here on dL/dV
            g[:] = zero
            for back in range(steps):
                t = steps - 1 - back
                if whole:
                    gs = gs_TM[t, low : low + size]
                else:
                    for k in range(count):
                        row, target = gs_TRC[t, r + k, offset : offset + channels], joined[k * channels :]
                        for c in range(channels):
                            target[c] = row[c]
                    gs = joined[:size]
                h_now, v_now = h_TL[t], v_TL[0 if gq_BL is None else t]
                if surrogate is not None:
                    slopes(surrogate, h_now[:size], v_threshold, alpha, sigma)
                if moving:
                    g[:] = zero
                for i in range(size):
                    h = h_now[i]
                    if surrogate is None:
                        scaled = slope * (h - v_threshold)
                        sloped = half / (one + scaled * scaled)
                    else:
                        sloped = sigma[i]
                    kept = zero if h >= v_threshold and not soft else one
                    pull = zero if detach else (v_threshold if soft else h)
                    gh = gs[i] * sloped + v[i] * (kept - pull * sloped)
                    if gq_BL is not None:
                        gh_L[i] = gh
                    if keep is not None:
                        v[i] = gh * keep
                        g[i] += gh
                    else:
                        charge = gh * inverse
                        v[i] = gh - charge
                        g[i] += charge
                if gq_BL is not None:
                    x = x_TM[t if moving else 0, low : low + size]
                    for i in range(size):
                        y = x[i] * scale_L[i] + shift_L[i]
                        gqs[i] += gh_L[i] * (-v_now[i] if keep is not None else y - v_now[i])
                if moving or t == 0:
                    x, gy = x_TM[t, low : low + size], gy_TM[t, low : low + size]
                    for i in range(size):
                        gy[i] = g[i]
                        sums[i] += g[i]
                        dots[i] += g[i] * (x[i] - mean_L[i])
        for i in range(length):
            sum_BL[block, i] = sums[i]
            dot_BL[block, i] = dots[i]
            if gq_BL is not None:
                gq_BL[block, i] = gqs[i]


@compiled
def bn_relu_forward(x_RC, scale, shift, out_RC, offset, map_R, start, stop):
    """max(x scale + shift, 0), into channels offset: of the output; map_R as in bn_lif_forward."""
    channels = x_RC.shape[1]
    zero = x_RC.dtype.type(0)
    for r in range(start, stop):
        x, out = x_RC[r], out_RC[r, offset : offset + channels]
        for c in range(channels):
            y = x[c] * scale[c] + shift[c]
            out[c] = zero if y <= zero else y  # noqa: FURB136 - max() would swallow a NaN
        if map_R is not None:
            map_R[r] = _nonzero(out)


@compiled
def bn_relu_backward(x_RC, scale, shift, mean, g_RC, offset, gy_RC, sum_BC, dot_BC, rows, start, stop):
    """As bn_lif_backward, for a ReLU."""
    total, channels = x_RC.shape
    zero = x_RC.dtype.type(0)
    sums, dots = np.empty(channels, x_RC.dtype), np.empty(channels, x_RC.dtype)
    for block in range(start, stop):
        sums[:] = zero
        dots[:] = zero
        for r in range(block * rows, min(block * rows + rows, total)):
            x, gy, grad = x_RC[r], gy_RC[r], g_RC[r, offset : offset + channels]
            for c in range(channels):
                g = grad[c] if x[c] * scale[c] + shift[c] > zero else zero
                gy[c] = g
                sums[c] += g
                dots[c] += g * (x[c] - mean[c])
        for c in range(channels):
            sum_BC[block, c] = sums[c]
            dot_BC[block, c] = dots[c]


@compiled
def bn_count_forward(x_RC, scale, shift, top, out_RC, offset, start, stop):
    """floor(clip(u, 0, top) + 1/2), u = x scale + shift, into channels offset: of the output."""
    channels = x_RC.shape[1]
    zero, half = x_RC.dtype.type(0), x_RC.dtype.type(0.5)
    for r in range(start, stop):
        x, out = x_RC[r], out_RC[r, offset : offset + channels]
        for c in range(channels):
            u = x[c] * scale[c] + shift[c]
            u = zero if u <= zero else u  # noqa: FURB136 - max() would swallow a NaN
            u = top if u >= top else u  # noqa: FURB136
            out[c] = np.floor(u + half)


@compiled
def bn_count_backward(top, x_RC, scale, shift, mean, g_RC, offset, gy_RC, sum_BC, dot_BC, rows, start, stop):
    """As bn_lif_backward, for counts: straight through where 0 <= u <= top, else 0."""
    total, channels = x_RC.shape
    zero = x_RC.dtype.type(0)
    sums, dots = np.empty(channels, x_RC.dtype), np.empty(channels, x_RC.dtype)
    for block in range(start, stop):
        sums[:] = zero
        dots[:] = zero
        for r in range(block * rows, min(block * rows + rows, total)):
            x, gy, grad = x_RC[r], gy_RC[r], g_RC[r, offset : offset + channels]
            for c in range(channels):
                u = x[c] * scale[c] + shift[c]
                g = grad[c] if (u >= zero) & (u <= top) else zero
                gy[c] = g
                sums[c] += g
                dots[c] += g * (x[c] - mean[c])
        for c in range(channels):
            sum_BC[block, c] = sums[c]
            dot_BC[block, c] = dots[c]


@compiled
def bn_input_gradient(g_RC, x_RC, mean, factor, mean_g, slope_g, start, stop):
    """In place: dL/dx = (dL/dy - mean_g - (x - mean) slope_g) factor."""
    for r in range(start, stop):
        g, x = g_RC[r], x_RC[r]
        for c in range(g.shape[0]):
            g[c] = (g[c] - mean_g[c] - (x[c] - mean[c]) * slope_g[c]) * factor[c]
