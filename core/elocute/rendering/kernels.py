"""The compiled renderer for CPUs: one fused pass from visibility to composited pixels.

The clear version of the same arithmetic, which is also what runs on CUDA, is `march.py`; a test holds them together.
"""

from __future__ import annotations

import numba
import numpy as np

from .shells import PLANES, RELIEF, SKIN

# What both renderers compute with stands here, layers but for their order: the compiled code's cache is renewed when
# this file changes, and only then.
SAMPLES = (4, 2, 1, 1, 1)  # per crossing and layer: hair is thick and soft, teeth and eyeballs are hard
CLEAREST = 1e-7  # 1 - alpha of an opaque texel: optical depth 16, so that even seen face-on nothing shines through
SPENT = 1e-3  # transmittance under which a ray ends: a sample that leaves less (a quarter of a grey level) takes it too
MIN_FACING = 0.25  # cosine under which a shell is crossed as if at that angle, which bounds a sample's stride
# A photo pixel is magnified by turning its surface towards the viewer, to the power 1.5 at the sides (`rim`: there it
# becomes a streak), and, cubed (it also shows folds, lashes and shadows that a stretched skin has not), by stretching
# it. Between these two magnifications the photo's say fades and the completed colour takes over (view-dependent colour,
# c(x, d) in NeRF), on relief and skin: eyes and mouth lie in holes, where a photo has nothing better to offer.
STRETCH = (2.5, 10.0)
# Metres a sample may lie behind the first surface of the photo and still be what the photo shows: wholly, not at all.
SHADOW = (0.003, 0.009)
CUBIC = -0.75  # Keys' parameter: keeps more of the finest detail between texels than Catmull-Rom's -0.5
# Cosine to the photo's ray that no point counts as less than: what lies behind the photo's horizon is seen in it when
# it is on the horizon of this view too, and is magnified beyond all use when it isn't.
GRAZING = 0.02

# No branch for a division by zero, and what every ray and sample does in the caller's own loop: half of the time.
FAST = {"cache": True, "nogil": True, "fastmath": True, "error_model": "numpy"}
_SAMPLES = np.array(SAMPLES, np.int64)
_WEIGHTS = np.zeros((PLANES, max(SAMPLES)), np.float32)  # of a shell's optical depth, for each of its samples
for _layer, _count in enumerate(SAMPLES):
    _offsets = (np.arange(_count) + 0.5) / _count
    _WEIGHTS[_layer, :_count] = (2 * np.sin(np.pi * _offsets) ** 2 if _count > 1 else 1) / _count
# Columns of Shells.vertex_table (rest, seen, fill, solid, thickness, normal, grain, rim), then what a ray's hit adds.
_SEEN, _FILL, _THICK, _NORMAL, _GRAIN, _RIM = 3, 4, 8, 9, 12, 15
_RAY, _DEPTH, _STRIDE, _SLANT, _LIT, _TURNED, _HIT = 16, 19, 20, 21, 22, 23, 24
EDGE_DEPTH = 0.006  # metres: a larger step inside one pixel is an edge and is resolved with four rays
GAP = 0.001  # metres: so are triangles farther apart in canonical space, such as those of lips that meet
REACH = 0.25  # barycentric: farther beyond a triangle its plane says nothing about a pixel's middle


@numba.njit(**FAST, inline="always")
def _cubic(t, w):  # type: ignore[no-untyped-def]
    """Weights of Keys' cubic convolution into w [4]; interpolating: a plane at its own pixels comes back exactly."""
    a = np.float32(CUBIC)
    t2 = t * t
    t3 = t2 * t
    w[0] = a * (t3 - np.float32(2.0) * t2 + t)
    w[1] = (a + np.float32(2.0)) * t3 - (a + np.float32(3.0)) * t2 + np.float32(1.0)
    w[3] = a * (t2 - t3)
    w[2] = np.float32(1.0) - w[0] - w[1] - w[3]


@numba.njit(**FAST, inline="always")
def _mirrored(u, size):  # type: ignore[no-untyped-def]
    """A place up to a picture's width outside goes on as its mirror image: a clamp would draw streaks."""
    end = np.float32(size - 1)
    return min(max(end - abs(end - abs(u)), np.float32(0.0)), end)


@numba.njit(**FAST, inline="always")
def _lookup(planes, kind, u, v, wx, wy, out):  # type: ignore[no-untyped-def]
    """Plane `kind` of planes [PLANES, R, R, 4] at pixel coordinates (u, v), mirrored at the border, into out [4]."""
    size = planes.shape[1]
    u, v = _mirrored(u - np.float32(0.5), size), _mirrored(v - np.float32(0.5), size)
    x, y = int(u), int(v)
    _cubic(np.float32(u - x), wx)
    _cubic(np.float32(v - y), wy)
    o0 = o1 = o2 = o3 = np.float32(0.0)
    for j in range(4):
        yy = np.uint64(min(max(y + j - 1, 0), size - 1))  # unsigned: Python's negative indices cost a test each
        r0 = r1 = r2 = r3 = np.float32(0.0)
        for i in range(4):
            xx = np.uint64(min(max(x + i - 1, 0), size - 1))
            r0 += wx[i] * planes[kind, yy, xx, 0]
            r1 += wx[i] * planes[kind, yy, xx, 1]
            r2 += wx[i] * planes[kind, yy, xx, 2]
            r3 += wx[i] * planes[kind, yy, xx, 3]
        o0 += wy[j] * r0
        o1 += wy[j] * r1
        o2 += wy[j] * r2
        o3 += wy[j] * r3
    out[0], out[1], out[2], out[3] = o0, o1, o2, o3


@numba.njit(**FAST, inline="always")
def _locate(f, kind, px, py, cam, points, faces, table, pull, grown, lit, turned, hit):  # type: ignore[no-untyped-def]
    """Where a ray crosses triangle f, in canonical space, into hit: see the column names above."""
    a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
    w1, w2 = _barycentric(f, px, py, points, faces)
    w0 = (np.float32(1.0) - w1 - w2) / points[a, 2]
    w1, w2 = w1 / points[b, 2], w2 / points[c, 2]
    z = np.float32(1.0) / (w0 + w1 + w2)
    w0, w1, w2 = w0 * z, w1 * z, w2 * z
    for k in range(_RAY):  # all columns of the table; a number known beforehand is one step instead of a loop
        hit[k] = w0 * table[a, k] + w1 * table[b, k] + w2 * table[c, k]
    dx, dy = (px - cam[1]) / cam[0], (py - cam[2]) / cam[0]
    for k in range(3):  # the ray, bent back
        hit[_RAY + k] = pull[f, k, 0] * dx + pull[f, k, 1] * dy + pull[f, k, 2]
    x, y, w, ex, ey, ez = hit[0], hit[1], hit[2], hit[_RAY], hit[_RAY + 1], hit[_RAY + 2]
    nx, ny, nz = hit[_NORMAL], hit[_NORMAL + 1], hit[_NORMAL + 2]  # smooth; the ray enters against it
    length = np.sqrt(ex * ex + ey * ey + ez * ez)
    across = max(np.sqrt(nx * nx + ny * ny + nz * nz), np.float32(1e-12))
    cosine = abs(nx * ex + ny * ey + nz * ez) / (across * length)
    in_photo = max(-(nx * x + ny * y + nz * w) / (across * np.sqrt(x * x + y * y + w * w)), np.float32(0.0))
    if kind <= SKIN:
        bigger = w0 * grown[a] + w1 * grown[b] + w2 * grown[c]
        turn = cosine / max(in_photo, np.float32(GRAZING))
        turn *= np.float32(1.0) + hit[_RIM] * (np.sqrt(turn) - np.float32(1.0))
        magnified = bigger * bigger * bigger * turn
        s = (np.float32(STRETCH[1]) - magnified) / np.float32(STRETCH[1] - STRETCH[0])
        s = min(max(s, np.float32(0.0)), np.float32(1.0))
        hit[_SEEN] *= s * s * (np.float32(3.0) - np.float32(2.0) * s)
    cosine = max(cosine, np.float32(MIN_FACING))
    hit[_LIT] = w0 * lit[a] + w1 * lit[b] + w2 * lit[c]
    hit[_TURNED] = w0 * turned[a] + w1 * turned[b] + w2 * turned[c]
    hit[_DEPTH] = z
    hit[_STRIDE] = hit[_THICK] / (cosine * length)  # z parameter per whole shell
    hit[_SLANT] = min(max(max(in_photo, np.float32(MIN_FACING)) / cosine, np.float32(0.5)), np.float32(2.0))


@numba.njit(**FAST)
def _bilinear(image, u, v):  # type: ignore[no-untyped-def]
    """image [R, R], R > 1, at pixel coordinates (u, v)."""
    size = image.shape[0]
    u = min(max(u - np.float32(0.5), np.float32(0.0)), np.float32(size - 1.001))
    v = min(max(v - np.float32(0.5), np.float32(0.0)), np.float32(size - 1.001))
    x, y = int(u), int(v)
    u, v = np.float32(u - x), np.float32(v - y)
    above = image[y, x] + u * (image[y, x + 1] - image[y, x])
    below = image[y + 1, x] + u * (image[y + 1, x + 1] - image[y + 1, x])
    return above + v * (below - above)


@numba.njit(**FAST)
def _in_photo(hit, image, lens):  # type: ignore[no-untyped-def]
    """image [R, R], aligned with the portrait, where a located shell shows in it."""
    z = hit[2]
    return _bilinear(image, lens[0] * hit[0] / z + lens[1], lens[0] * hit[1] / z + lens[2])


@numba.njit(**FAST)
def _grain(hit, detail):  # type: ignore[no-untyped-def]
    """Give the fill of a located shell its fine detail, from detail [R, R]."""
    size = np.float32(detail.shape[0])
    add = hit[_GRAIN + 2] * _bilinear(detail, hit[_GRAIN] * size, hit[_GRAIN + 1] * size)
    for i in range(3):
        hit[_FILL + i] = min(max(hit[_FILL + i] + add, np.float32(0.0)), np.float32(1.0))


@numba.njit(**FAST, inline="always")
def _march(kind, hit, left, presence, planes, shadow, lens, wx, wy, tap, acc):  # type: ignore[no-untyped-def]
    """Sample a located shell, of which so much is `left`, into acc = (r, g, b, transmittance, depth sum)."""
    count = _SAMPLES[kind]
    for k in range(count):
        q = (np.float32(k) + np.float32(0.5)) / np.float32(count)
        t = q * hit[_STRIDE]
        for i in range(4):
            tap[i] = hit[_FILL + i]
        trust = hit[_SEEN]
        if trust > np.float32(0.0):
            sz = hit[2] + t * hit[_RAY + 2]
            u = lens[0] * (hit[0] + t * hit[_RAY]) / sz + lens[1]
            v = lens[0] * (hit[1] + t * hit[_RAY + 1]) / sz + lens[2]
            if kind <= SKIN:
                iu = min(max(int(u), 0), shadow.shape[1] - 1)
                iv = min(max(int(v), 0), shadow.shape[0] - 1)
                behind = sz - shadow[iv, iu, 0] + hit[_TURNED] * shadow[iv, iu, 1]
                hidden = (behind - np.float32(SHADOW[0])) / np.float32(SHADOW[1] - SHADOW[0])
                trust *= np.float32(1.0) - min(max(hidden, np.float32(0.0)), np.float32(1.0))
            if trust > np.float32(0.0):
                _lookup(planes, kind, u, v, wx, wy, tap)
                if kind > SKIN:
                    always = min(max(np.float32(2.0) * tap[3] - np.float32(1.0), np.float32(0.0)), np.float32(1.0))
                    once = min(max(np.float32(2.0) * tap[3], np.float32(0.0)), np.float32(1.0))
                    trust *= always + presence * (once - always)
                    tap[3] = hit[_FILL + 3]
                for i in range(4):
                    tap[i] = hit[_FILL + i] + trust * (tap[i] - hit[_FILL + i])
        alpha = min(max(tap[3], np.float32(0.0)), np.float32(1.0)) * left
        od = -np.log(max(np.float32(1.0) - alpha, np.float32(CLEAREST))) * hit[_SLANT]
        gain = acc[3] * (np.float32(1.0) - np.exp(-od * _WEIGHTS[kind, k]))
        if acc[3] - gain < np.float32(SPENT):
            gain = acc[3]
        for i in range(3):
            acc[i] += gain * hit[_LIT] * tap[i]
        acc[3] -= gain
        acc[4] += gain * (hit[_DEPTH] + t)
        if acc[3] == np.float32(0.0):
            break


@numba.njit(**FAST, inline="always")
def _barycentric(f, px, py, points, faces):  # type: ignore[no-untyped-def]
    """The second and third coordinate in triangle f of a place in pixels of the picture."""
    a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
    ax, ay, bx, by, cx, cy = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
    inv = np.float32(1.0) / ((bx - ax) * (cy - ay) - (cx - ax) * (by - ay))
    w1 = ((px - ax) * (cy - ay) - (cx - ax) * (py - ay)) * inv
    return w1, ((bx - ax) * (py - ay) - (px - ax) * (by - ay)) * inv


@numba.njit(**FAST, inline="always")
def _apart(a, b, spheres):  # type: ignore[no-untyped-def]
    """Whether triangles a and b have a gap between them in canonical space, whatever brings them together now."""
    x, y, z = spheres[a, 0] - spheres[b, 0], spheres[a, 1] - spheres[b, 1], spheres[a, 2] - spheres[b, 2]
    reach = spheres[a, 3] + spheres[b, 3] + np.float32(GAP)
    return x * x + y * y + z * z > reach * reach


@numba.njit(**FAST, inline="always")
def _simple(ids, depths, points, faces, layer, spheres, y, x):  # type: ignore[no-untyped-def]
    """Whether the four rays of a pixel, from row y and column x on, cross the same layers, none with an edge, and the
    first one's triangles will do for its middle."""
    for g in range(2):
        a, b, c, d = ids[g, y, x], ids[g, y, x + 1], ids[g, y + 1, x], ids[g, y + 1, x + 1]
        alike = a == b and a == c and a == d
        if min(min(a, b), min(c, d)) < 0:
            if alike:
                continue
            return False
        za, zb, zc, zd = depths[g, y, x], depths[g, y, x + 1], depths[g, y + 1, x], depths[g, y + 1, x + 1]
        if max(max(za, zb), max(zc, zd)) - min(min(za, zb), min(zc, zd)) > EDGE_DEPTH:
            return False
        if alike:
            continue
        for i in (b, c, d):
            if i != a and (layer[i] != layer[a] or _apart(a, i, spheres)):
                return False
        w1, w2 = _barycentric(a, np.float32(x // 2 + 0.5), np.float32(y // 2 + 0.5), points, faces)
        if min(w1, w2, np.float32(1.0) - w1 - w2) <= np.float32(-REACH):
            return False
    return True


@numba.njit(**FAST, parallel=True)
def shade(  # type: ignore[no-untyped-def]
    ids, depths, points, cam, faces, layer, spheres, table, pull, grown, lit, turned, planes, detail, shadow, foreign,
    lens, presence, box, rgba, depth_out,
):
    """Composite every pixel of `box` (x0, y0, x1, y1) behind what `rgba` already holds.

    ids int32 [2, 2H, 2W] and depths float32: visibility of relief and head at twice the picture's resolution, where
    the depths of no triangle, infinite, are never looked at;
    points float32 [V, 3] moved vertices in image space of the picture; cam (focal, cx, cy) of the picture; spheres
    float32 [F, 4] around the triangles at rest, see `shells.spheres`;
    rgba float32 [H, W, 4] premultiplied gets what it lets through; depth_out float32 [H, W] (metres, 0 where empty) is
    written where it lets anything through.
    """
    for y in numba.prange(box[1], box[3]):
        wx, wy = np.empty(4, np.float32), np.empty(4, np.float32)
        tap, acc, hit = np.empty(4, np.float32), np.empty(5, np.float32), np.empty(_HIT, np.float32)
        total = np.empty(5, np.float32)
        for x in range(box[0], box[2]):
            free = np.float32(1.0) - rgba[y, x, 3]
            if free <= np.float32(0.0):
                continue
            simple = _simple(ids, depths, points, faces, layer, spheres, 2 * y, 2 * x)
            rays = 1 if simple else 4
            for k in range(5):
                total[k] = 0.0
            for s in range(rays):
                sy, sx = 2 * y + s // 2, 2 * x + s % 2
                px = np.float32(x + 0.5) if simple else np.float32(sx * 0.5 + 0.25)
                py = np.float32(y + 0.5) if simple else np.float32(sy * 0.5 + 0.25)
                near, far = ids[0, sy, sx], ids[1, sy, sx]
                if far >= 0 and (near < 0 or depths[1, sy, sx] < depths[0, sy, sx]):
                    near, far = far, near
                acc[0] = acc[1] = acc[2] = acc[4] = np.float32(0.0)
                acc[3] = np.float32(1.0)
                for f in (near, far):
                    if f >= 0 and acc[3] > np.float32(0.0):
                        _locate(f, layer[f], px, py, cam, points, faces, table, pull, grown, lit, turned, hit)
                        if layer[f] == SKIN and hit[_TURNED] > np.float32(0.0):
                            hit[_SEEN] *= np.float32(1.0) - hit[_TURNED] * _in_photo(hit, foreign, lens)
                        if hit[_GRAIN + 2] > np.float32(0.0):
                            _grain(hit, detail)
                        left = np.float32(1.0)
                        if layer[f] == RELIEF:
                            left -= hit[_TURNED] * min(max(hit[_RIM], np.float32(0.0)), np.float32(1.0))
                        _march(layer[f], hit, left, np.float32(presence), planes, shadow, lens, wx, wy, tap, acc)
                for k in range(5):
                    total[k] += acc[k]
            share = np.float32(1.0) / np.float32(rays)
            alpha = np.float32(1.0) - total[3] * share
            for k in range(3):
                rgba[y, x, k] += free * total[k] * share
            rgba[y, x, 3] += free * alpha
            depth_out[y, x] = total[4] * share / alpha if alpha > np.float32(1e-4) else np.float32(0.0)
