"""Compiled CPU loops over spikes kept as bits: what fired is listed, and only its rows of the weights are added.

Spikes are [T, N, H, W, B] uint8: bit c % 8 of byte c // 8 is channel c of a pixel. Channels are padded to a multiple of
LANES, and bits beyond them are 0. A map is the number of spikes of each pixel, [T, N, H, W] int32. Weights are [K x K x 8 B,
width] float32 in one array: a row for each tap and input channel, and outputs padded to `width`, a multiple of LANES.

A convolution adds in the order taps by rows, channels within a tap, each sum starting at zero. An input that did not fire
would add a zero, so the sums are those of a dense convolution that adds in this order: in every bit.

Counts (`neuron.model = "count"`) are kept as the T planes of their thermometer code: plane t holds [t <= C]. So the maximum
of counts is the OR of their planes, as it is for spikes, and the map of plane t is what fires at step t.

No fast-math, and no Python lock held; work on `start:stop` alone, as in kernels.py.
"""

from __future__ import annotations

import numpy as np

from core.engine.fast.kernels import compiled
from core.engine.fast.vector import (
    LANES,
    SLACK,
    count_once,
    fire_once,
    listed,
    listed_counts,
    ones,
    sum_rows,
    sum_rows_times,
    write_fired,
    write_sums,
)

#: How H is made of X and V: by 1 / tau, by tau, or with a leak apart from the input.
BY_INVERSE, BY_TAU, BY_KEEP = 0, 1, 2


@compiled
def _gather(bits_B, places, stride, planes, spread, taps, size, index, factors, row, height, width, kernel, dilation):
    """The list of what fired in the window that begins at taps = (i, j), in rows of the weights; returns its length.

    bits_B: all bytes; row: the first byte of the image; size: bytes of a pixel. With planes > 0 what fired in any of so
    many planes, and in how many.
    """
    first_i, first_j = taps
    count = 0
    for di in range(kernel):
        i = first_i + di * dilation
        if i < 0 or i >= height:
            continue
        for dj in range(kernel):
            j = first_j + dj * dilation
            if j < 0 or j >= width:
                continue
            start, first = row + (i * width + j) * size, (di * kernel + dj) * size * 8
            if planes:
                count = listed_counts(bits_B, start, size, stride, planes, first, places, spread, index, factors, count)
            else:
                count = listed(bits_B, start, size, first, places, index, count)
    return count


@compiled
def conv_fire(
    bits_TNHWB, weights, places, spread, scale, shift, out_TNHWB, at, channels, map_TNHW,
    kernel, stride, padding, dilation, levels, how, leak, v_threshold, v_start, soft, start, stop,
):  # fmt: skip
    """Convolution, normalisation and neurons for the output pixels start:stop of N x H x W, into bytes `at`: of the
    output's. With `levels` the input's planes are counts, and so is what comes out, up to `levels`."""
    steps, images, height, width, size = bits_TNHWB.shape
    _, _, out_h, out_w, _ = out_TNHWB.shape
    bits_B, out_B, filled = bits_TNHWB.reshape(-1), out_TNHWB.reshape(-1), map_TNHW.reshape(-1)
    bytes_, pixels = out_TNHWB.shape[4], images * out_h * out_w
    lanes = scale.shape[0]
    x, v = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    index = np.empty(kernel * kernel * size * 8 + SLACK, np.int32)
    factors = np.empty(kernel * kernel * size * 8 + SLACK, np.float32)
    image = height * width * size
    for p in range(start, stop):
        n, rest = divmod(p, out_h * out_w)
        i, j = divmod(rest, out_w)
        taps = (i * stride - padding, j * stride - padding)
        if levels:
            count = _gather(
                bits_B, places, images * image, steps, spread, taps, size, index, factors, n * image,
                height, width, kernel, dilation,
            )  # fmt: skip
            sum_rows_times(weights, index, count, lanes, x, factors)
            top = np.float32(levels)
            count_once(
                x, scale, shift, top, steps, out_B, p * bytes_ + at, pixels * bytes_, filled, p, pixels, channels
            )
            continue
        v[:] = v_start
        for t in range(steps):
            count = _gather(
                bits_B, places, 0, 0, spread, taps, size, index, factors, (t * images + n) * image,
                height, width, kernel, dilation,
            )  # fmt: skip
            sum_rows(weights, index, count, lanes, x)
            row = t * pixels + p
            filled[row] = fire_once(
                x, scale, shift, v, how, leak, v_threshold, soft, out_B, row * bytes_ + at, channels
            )


@compiled
def conv_sums(
    bits_TNHWB, weights, places, spread, out_TNHWC, kernel, stride, padding, dilation, counts, start, stop
):  # fmt: skip
    """The convolution alone, of the output pixels start:stop of T x N x H x W, or, where the planes are counts, of
    N x H x W."""
    steps, images, height, width, size = bits_TNHWB.shape
    _, _, out_h, out_w, channels = out_TNHWC.shape
    bits_B = bits_TNHWB.reshape(-1)
    lanes = weights.shape[0] // (kernel * kernel * size * 8)
    x = np.empty(lanes, np.float32)
    index = np.empty(kernel * kernel * size * 8 + SLACK, np.int32)
    factors = np.empty(kernel * kernel * size * 8 + SLACK, np.float32)
    image = height * width * size
    for p in range(start, stop):
        row, rest = divmod(p, out_h * out_w)
        i, j = divmod(rest, out_w)
        t, n = divmod(row, images)
        taps = (i * stride - padding, j * stride - padding)
        count = _gather(
            bits_B, places, images * image, steps if counts else 0, spread, taps, size, index, factors, row * image,
            height, width, kernel, dilation,
        )  # fmt: skip
        if counts:
            sum_rows_times(weights, index, count, lanes, x, factors)
        else:
            sum_rows(weights, index, count, lanes, x)
        out = out_TNHWC[t, n, i, j]
        for c in range(channels):
            out[c] = x[c]


@compiled
def fire(
    x_TRC, scale, shift, out_TRB, at, channels, map_TR, levels, how, leak, v_threshold, v_start, soft, start, stop
):  # fmt: skip
    """Normalisation and neurons of sums that are there already, for pixels start:stop of R = N x H x W; one row of T
    stands for the same sums at every step, and for those of counts."""
    steps, rows, bytes_ = out_TRB.shape
    moving = x_TRC.shape[0] > 1
    out_B, filled = out_TRB.reshape(-1), map_TR.reshape(-1)
    lanes = scale.shape[0]
    x, v = np.zeros(lanes, np.float32), np.empty(lanes, np.float32)
    for r in range(start, stop):
        v[:] = v_start
        for t in range(steps):
            if moving or t == 0:
                given = x_TRC[t, r]
                for c in range(channels):
                    x[c] = given[c]
            row = t * rows + r
            if levels:
                top = np.float32(levels)
                count_once(
                    x, scale, shift, top, steps, out_B, r * bytes_ + at, rows * bytes_, filled, r, rows, channels
                )
                break
            filled[row] = fire_once(
                x, scale, shift, v, how, leak, v_threshold, soft, out_B, row * bytes_ + at, channels
            )


@compiled
def packed(x_RC, out_RB, map_R, start, stop):
    """The bits of spikes that are there as numbers: 1 where x >= 1."""
    channels, bytes_ = x_RC.shape[1], out_RB.shape[1]
    out_B = out_RB.reshape(-1)
    row = np.zeros(bytes_ * 8, np.float32)
    for r in range(start, stop):
        given = x_RC[r]
        for c in range(channels):
            row[c] = given[c]
        map_R[r] = write_fired(row, out_B, r * bytes_, channels)


@compiled
def unpacked(bits_TRB, out_TRC, summed, start, stop):
    """Spikes as numbers, or the sum of all planes; of pixels start:stop."""
    steps, rows, bytes_ = bits_TRB.shape
    bits_B, out_M = bits_TRB.reshape(-1), out_TRC.reshape(-1)
    channels = out_TRC.shape[2]
    last = channels - channels % LANES
    rest = np.empty(LANES, np.float32)
    planes = steps if summed else 1
    for t in range(1 if summed else steps):
        for r in range(start, stop):
            row = t * rows + r
            for c in range(0, last, LANES):
                write_sums(bits_B, row * bytes_ + c // 8, rows * bytes_, planes, out_M, row * channels + c)
            if last < channels:
                write_sums(bits_B, row * bytes_ + last // 8, rows * bytes_, planes, rest, 0)
                for c in range(channels - last):
                    out_M[row * channels + last + c] = rest[c]


@compiled
def pool(bits_RHWB, out_RHWB, map_RHW, kernel, stride, padding, start, stop):
    """The OR of each window, for rows start:stop of T x N; a window may overhang the image."""
    _, height, width, size = bits_RHWB.shape
    _, out_h, out_w, _ = out_RHWB.shape
    for r in range(start, stop):
        for i in range(out_h):
            for j in range(out_w):
                out = out_RHWB[r, i, j]
                out[:] = 0
                top, left = i * stride - padding, j * stride - padding
                for y in range(max(top, 0), min(top + kernel, height)):
                    for x in range(max(left, 0), min(left + kernel, width)):
                        given = bits_RHWB[r, y, x]
                        for b in range(size):
                            out[b] |= given[b]
                filled = np.int32(0)
                for b in range(0, size, LANES // 8):
                    filled += ones(out, b)
                map_RHW[r, i, j] = filled
