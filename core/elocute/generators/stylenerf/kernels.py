"""The upsampling's low-pass filter and activation, compiled for CPUs in one pass, and its adjoint.

Layouts are channels-last. `quarters` [H, W, 2, 2C] holds what each quarter (row, then column and channel) of a coarse
pixel gets and the last C channels of `near` [H, W, K] what all four get; both are read in place of the fine picture
[2H, 2W, C] that they make. The filter is 1, 3, 3, 1 over 8 in each direction: fine row n is made of rows n - 2 ...
n + 1, zero outside.

`enlarge.py` calls these and has the clear version, which other devices use.
"""

from __future__ import annotations

import numba
import numpy as np

_FAST = {"contract", "nsz", "arcp"}  # fused multiply-add; sums keep their order, so pictures are the same bytes


@numba.njit(cache=True, nogil=True, parallel=True, fastmath=_FAST)
def filter_rows(quarters, near, bias, out, first, slope, clamp):  # type: ignore[no-untyped-def]
    """out [2N, 2W, C]: filtered, biased and activated fine rows of the coarse rows first ... first + N - 1."""
    height, width, channels = near.shape[0], near.shape[1], out.shape[2]
    skip = near.shape[2] - channels
    kind = near.dtype.type
    one, three, slope_, top = kind(0.125), kind(0.375), kind(slope), kind(clamp)
    for row in numba.prange(out.shape[0] // 2):
        i = first + row
        above, below = max(i - 1, 0), min(i + 1, height - 1)
        a1, a3 = (one, three) if i > 0 else (kind(0), kind(0))
        b1 = one if i < height - 1 else kind(0)
        line = np.zeros((2 * width + 3, channels), near.dtype)
        for p in range(2):
            for j in range(width):
                for q in range(2):
                    n, o = 2 * j + q + 2, q * channels
                    if p == 0:
                        for c in range(channels):
                            line[n, c] = (
                                a1 * quarters[above, j, 0, o + c] + a3 * quarters[above, j, 1, o + c]
                                + three * quarters[i, j, 0, o + c] + one * quarters[i, j, 1, o + c]
                                + (a1 + a3) * near[above, j, skip + c] + kind(0.5) * near[i, j, skip + c]
                            )  # fmt: skip
                    else:
                        for c in range(channels):
                            line[n, c] = (
                                a1 * quarters[above, j, 1, o + c] + three * quarters[i, j, 0, o + c]
                                + three * quarters[i, j, 1, o + c] + b1 * quarters[below, j, 0, o + c]
                                + a1 * near[above, j, skip + c] + kind(0.75) * near[i, j, skip + c]
                                + b1 * near[below, j, skip + c]
                            )  # fmt: skip
            for n in range(2 * width):
                for c in range(channels):
                    v = one * (line[n, c] + line[n + 3, c]) + three * (line[n + 1, c] + line[n + 2, c]) + bias[c]
                    v = v if v > 0 else slope_ * v
                    out[2 * row + p, n, c] = min(max(v, -top), top)


@numba.njit(cache=True, nogil=True, parallel=True, fastmath=_FAST)
def filter_adjoint(grad, out, g_quarters, g_near, g_bias, slope, clamp):  # type: ignore[no-untyped-def]
    """The gradients of `filter_rows` over all rows, from `grad` [2H, 2W, C] and its result `out`.

    g_quarters [H, W, 2, 2C], g_near [H, W, K], g_bias [H, C] (a part for each coarse row).
    """
    height, width, channels = g_near.shape[0], g_near.shape[1], out.shape[2]
    skip = g_near.shape[2] - channels
    kind = out.dtype.type
    one, three, slope_, top = kind(0.125), kind(0.375), kind(slope), kind(clamp)
    for i in numba.prange(height):
        gated = np.zeros((5, 2 * width, channels), out.dtype)  # fine rows 2i - 1 ... 2i + 3
        for r in range(5):
            m = 2 * i - 1 + r
            if m < 0 or m >= 2 * height:
                continue
            for n in range(2 * width):
                for c in range(channels):
                    v = out[m, n, c]
                    g = grad[m, n, c] * (kind(1) if v > 0 else slope_)
                    gated[r, n, c] = g if abs(v) < top else kind(0)
        for c in range(channels):
            g_bias[i, c] = 0
        for r in range(1, 3):
            for n in range(2 * width):
                for c in range(channels):
                    g_bias[i, c] += gated[r, n, c]
        line = np.zeros((2 * width + 3, channels), out.dtype)
        for j in range(width):
            for c in range(skip + channels):
                g_near[i, j, c] = 0
        for p in range(2):
            for n in range(2 * width):
                for c in range(channels):
                    line[n + 1, c] = one * (gated[p, n, c] + gated[p + 3, n, c]) + three * (
                        gated[p + 1, n, c] + gated[p + 2, n, c]
                    )
            for j in range(width):
                for q in range(2):
                    n, o = 2 * j + q, q * channels
                    for c in range(channels):
                        g = one * (line[n, c] + line[n + 3, c]) + three * (line[n + 1, c] + line[n + 2, c])
                        g_quarters[i, j, p, o + c] = g
                        g_near[i, j, skip + c] += g
