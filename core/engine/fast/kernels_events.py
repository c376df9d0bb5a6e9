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
    add_rows,
    add_rows_times,
    count_once,
    fire_once,
    listed,
    listed_counts,
    ones,
    write_fired,
    write_sums,
)

BLOCK = 128  # outputs whose sums are in registers at once
#: How H is made of X and V: by 1 / tau, by tau, with a leak apart from the input, or by tau without dividing.
BY_INVERSE, BY_TAU, BY_KEEP, BY_PRODUCTS = 0, 1, 2, 3


@compiled
def _add_up(
    bits_B, planes, images, n, i, height, width, size, counts, weights, places, spread, lists, lengths, factors,
    kernel, stride, padding, dilation, x_M, out_w, lanes,
):  # fmt: skip
    """The sums of output row i of image n, of every plane, or of counts over the planes: [planes or 1, out_w, lanes].

    What fired in each input pixel is listed once for the row. Then tap follows tap, for BLOCK outputs at a time: the rows
    of a tap's weights stay in the first-level cache while all pixels take theirs.
    """
    whole, image = size * 8, height * width * size
    room = whole + SLACK
    steps = 1 if counts else planes
    x_M[:] = np.float32(0)
    for di in range(kernel):
        y = i * stride - padding + di * dilation
        if y < 0 or y >= height:
            continue
        for t in range(steps):
            for x in range(width):
                at = (t * images + n) * image + (y * width + x) * size
                place = (t * kernel + di) * width + x
                if counts:
                    end = listed_counts(
                        bits_B, at, size, images * image, planes, 0, places, spread, lists, factors, place * room
                    )
                else:
                    end = listed(bits_B, at, size, 0, places, lists, place * room)
                lengths[place] = end - place * room
    for block in range(0, lanes, BLOCK):
        part = min(BLOCK, lanes - block)
        for di in range(kernel):
            y = i * stride - padding + di * dilation
            if y < 0 or y >= height:
                continue
            for dj in range(kernel):
                first = (di * kernel + dj) * whole * lanes + block
                for t in range(steps):
                    for j in range(out_w):
                        x = j * stride - padding + dj * dilation
                        if x < 0 or x >= width:
                            continue
                        place = (t * kernel + di) * width + x
                        at = (t * out_w + j) * lanes + block
                        if counts:
                            add_rows_times(
                                weights, lanes, first, lists, place * room, lengths[place], part, x_M, at, factors
                            )
                        else:
                            add_rows(weights, lanes, first, lists, place * room, lengths[place], part, x_M, at)


@compiled
def conv_fire(
    bits_TNHWB, weights, places, spread, scale, shift, out_TNHWB, at, channels, map_TNHW,
    kernel, stride, padding, dilation, levels, how, leak, v_threshold, v_start, soft, start, stop,
):  # fmt: skip
    """Convolution, normalisation and neurons for the output rows start:stop of N x H, into bytes `at`: of the output's
    pixels. With `levels` the input's planes are counts, and so is what comes out, up to `levels`."""
    steps, images, height, width, size = bits_TNHWB.shape
    _, _, out_h, out_w, bytes_ = out_TNHWB.shape
    bits_B, out_B, filled = bits_TNHWB.reshape(-1), out_TNHWB.reshape(-1), map_TNHW.reshape(-1)
    pixels, lanes = images * out_h * out_w, scale.shape[0]
    lists = np.empty(steps * kernel * width * (size * 8 + SLACK), np.int32)
    factors = np.empty(lists.size if levels else 1, np.float32)
    lengths = np.empty(steps * kernel * width, np.int64)
    x_M = np.empty((1 if levels else steps) * out_w * lanes, np.float32)
    v = np.empty(lanes, np.float32)
    top = np.float32(levels)
    for line in range(start, stop):
        n, i = divmod(line, out_h)
        _add_up(
            bits_B, steps, images, n, i, height, width, size, levels > 0, weights, places, spread, lists, lengths, factors,
            kernel, stride, padding, dilation, x_M, out_w, lanes,
        )  # fmt: skip
        for j in range(out_w):
            p = line * out_w + j
            if levels:
                x = x_M[j * lanes : (j + 1) * lanes]
                count_once(
                    x, scale, shift, top, steps, out_B, p * bytes_ + at, pixels * bytes_, filled, p, pixels, channels
                )
                continue
            v[:] = v_start
            for t in range(steps):
                x = x_M[(t * out_w + j) * lanes : (t * out_w + j + 1) * lanes]
                row = t * pixels + p
                filled[row] = fire_once(
                    x, scale, shift, v, how, leak, v_threshold, soft, out_B, row * bytes_ + at, channels
                )


@compiled
def conv_sums(bits_TNHWB, weights, places, spread, out_TNHWC, kernel, stride, padding, dilation, counts, start, stop):
    """The convolution alone, of the output rows start:stop of N x H, at every step, or once where the planes are counts."""
    steps, images, height, width, size = bits_TNHWB.shape
    rows, _, out_h, out_w, channels = out_TNHWC.shape
    bits_B = bits_TNHWB.reshape(-1)
    lanes = weights.shape[0] // (kernel * kernel * size * 8)
    lists = np.empty(steps * kernel * width * (size * 8 + SLACK), np.int32)
    factors = np.empty(lists.size if counts else 1, np.float32)
    lengths = np.empty(steps * kernel * width, np.int64)
    x_M = np.empty(rows * out_w * lanes, np.float32)
    for line in range(start, stop):
        n, i = divmod(line, out_h)
        _add_up(
            bits_B, steps, images, n, i, height, width, size, counts, weights, places, spread, lists, lengths, factors,
            kernel, stride, padding, dilation, x_M, out_w, lanes,
        )  # fmt: skip
        for t in range(rows):
            for j in range(out_w):
                out, first = out_TNHWC[t, n, i, j], (t * out_w + j) * lanes
                for c in range(channels):
                    out[c] = x_M[first + c]


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
