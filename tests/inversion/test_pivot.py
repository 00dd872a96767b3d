"""The pivot finds the albedo and light behind a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from elocute.generators.appearance import AMBIENT, PARTS, Appearance, harmonics, mean_appearance
from elocute.generators.canonical import sample
from elocute.inversion.pivot import LIGHT, LIPS_LIGHT, fit_appearance

SHOWN = ("skin", "lips", "hair", "clothes")


def normals(count: int, seed: int = 0) -> np.ndarray:
    """Unit normals that face the camera, as a photo shows them."""
    n = np.random.default_rng(seed).normal(size=(count, 3))
    n[:, 2] = -np.abs(n[:, 2])
    return n / np.linalg.norm(n, axis=1, keepdims=True)


def parts(count: int, names: tuple[str, ...] = SHOWN) -> np.ndarray:
    out = np.zeros((count, len(PARTS)), np.float32)
    out[np.arange(count), [PARTS.index(names[i % len(names)]) for i in range(count)]] = 1
    return out


def lit(seed: int) -> Appearance:
    """A person in light from one side."""
    rng = np.random.default_rng(seed)
    albedo = rng.uniform(0.2, 0.8, (len(PARTS), 3)).astype(np.float32)
    light = np.zeros((9, 3), np.float32)
    light[0] = rng.uniform(0.8, 1.0, 3)
    light[1:4] = rng.uniform(-0.12, 0.12, (3, 3))
    return Appearance(albedo, light)


@pytest.mark.parametrize("seed", range(4))
def test_synthetic_colours_come_back(seed: int) -> None:
    truth, n, p = lit(seed), normals(4000, seed), parts(4000)
    colours = truth.colour(p, n)
    found = fit_appearance(colours, p, n)
    assert np.abs(found.colour(p, n) - colours).mean() < 0.01
    shading = np.maximum(harmonics(n) @ truth.light, AMBIENT)
    assert np.maximum(harmonics(n) @ found.light, AMBIENT).mean(0) == pytest.approx(np.ones(3), abs=0.02)
    seen = [PARTS.index(name) for name in SHOWN]
    # albedo and light share one factor, which a mean shading of 1 decides
    np.testing.assert_allclose(found.albedo[seen], truth.albedo[seen] * shading.mean(0), rtol=0.05)
    sideways = [1, 3]  # y and x; all normals face the camera, so its direction and even light look alike
    share = (found.light[sideways] * shading.mean(0)) / truth.light[sideways]
    assert 0.45 < share.min() and share.max() < 1.1  # the ridge keeps a part
    assert share.std(0).max() < 0.1  # ... the same of each direction: light comes from where it came


def test_it_beats_the_mean() -> None:
    truth, n, p = lit(9), normals(3000), parts(3000)
    colours = truth.colour(p, n) + np.random.default_rng(0).normal(0, 0.03, (3000, 3))
    fitted = fit_appearance(colours, p, n)
    before, after = (np.square(a.colour(p, n) - colours).mean() for a in (mean_appearance(), fitted))
    assert after < 0.1 * before
    assert after < 1.2 * 0.03**2


@pytest.mark.parametrize("warmth", [1.0, 1.3, 0.8])
def test_parts_that_nothing_shows_are_the_mean_in_the_photos_light(warmth: float) -> None:
    n, p = normals(2000), parts(2000, ("skin", "hair"))
    mean = mean_appearance()
    colours = mean.colour(p, n) * np.array([1, 1, 1 / warmth], np.float32)
    found = fit_appearance(colours, p, n)
    for name in ("tongue", "teeth", "lips"):
        shift = found.albedo[PARTS.index(name)] / mean.albedo[PARTS.index(name)]
        np.testing.assert_allclose(shift, [1, 1, warmth**-LIGHT], rtol=0.01)


@pytest.mark.parametrize(("lips", "tongue"), [(1.2, 1.2), (0.3, LIPS_LIGHT[0])])
def test_the_tongue_is_as_bright_as_the_lips_but_for_paint_and_takes_nothing_from_teeth(
    lips: float, tongue: float
) -> None:
    n, p = normals(3000), parts(3000)
    mean = mean_appearance()
    albedo = mean.albedo.copy()
    albedo[PARTS.index("lips")] *= lips
    albedo[PARTS.index("tongue")] = albedo[PARTS.index("teeth")]
    found = fit_appearance(Appearance(albedo, mean.light).colour(p, n), p, n).albedo
    # the mean shading of 1 over the samples, and the tint of the skin, are those of the mean within a few percent
    np.testing.assert_allclose(found[PARTS.index("tongue")], tongue * mean.albedo[PARTS.index("tongue")], rtol=0.05)


def test_in_black_and_white_nothing_has_a_hue() -> None:
    n, p = normals(2000), parts(2000, ("skin", "hair"))
    colours = np.repeat(lit(1).colour(p, n).mean(1, keepdims=True), 3, 1)
    found = fit_appearance(colours, p, n)
    for name in ("tongue", "lips", "teeth"):
        inside = np.tile(np.eye(len(PARTS))[PARTS.index(name)], (2000, 1))
        assert np.ptp(found.colour(inside, n), axis=1).max() < 1e-3


def test_order_and_repetition_of_samples_do_not_matter() -> None:
    n, p = normals(1000), parts(1000)
    colours = lit(2).colour(p, n)
    order = np.random.default_rng(3).permutation(1000)
    once, shuffled = fit_appearance(colours, p, n), fit_appearance(colours[order], p[order], n[order])
    twice = fit_appearance(np.tile(colours, (2, 1)), np.tile(p, (2, 1)), np.tile(n, (2, 1)))
    for other in (shuffled, twice):
        np.testing.assert_allclose(other.albedo, once.albedo, atol=1e-4)
        np.testing.assert_allclose(other.light, once.light, atol=1e-4)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_black_and_white_pictures_give_numbers(level: float) -> None:
    found = fit_appearance(np.full((500, 3), level), parts(500), normals(500))
    assert np.isfinite(found.albedo).all() and np.isfinite(found.light).all()
    assert np.abs(found.colour(parts(500), normals(500)) - level).mean() < 0.25


def test_the_example_is_explained_better_than_by_the_mean(example: Any, example_geometry: Any) -> None:
    scene, geometry = example.scene, example_geometry
    use = (geometry.shown > 0.5) & (sample(scene.matte, geometry.uv) > 0.9)
    use &= (geometry.uv > 0).all(1) & (geometry.uv < scene.side).all(1)
    colours, members, n = sample(scene.photo, geometry.uv[use]), geometry.members[use], geometry.normal[use]
    fitted = fit_appearance(colours, members, n)
    before, after = (np.square(a.colour(members, n) - colours).mean() for a in (mean_appearance(), fitted))
    assert after < 0.8 * before
    assert fitted.albedo.min() > 0 and fitted.albedo.max() < 2


def test_without_samples_the_pivot_is_the_mean() -> None:
    found = fit_appearance(np.zeros((0, 3)), np.zeros((0, len(PARTS))), np.zeros((0, 3)))
    for name in ("albedo", "light"):
        np.testing.assert_array_equal(getattr(found, name), getattr(mean_appearance(), name))
