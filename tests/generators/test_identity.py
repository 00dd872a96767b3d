"""Random identities are people: found by the face detector, reproducible, different, and exactly known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import sparse

from elocute.generators.features import curve
from elocute.generators.hairdo import hairline
from elocute.generators.identity import known_fit, random_scene
from elocute.generators.person import STYLES, random_person
from elocute.generators.scene import Scene
from elocute.generators.strokes import draw_lines
from elocute.generators.studio import Lamp, Surface, irradiance, refine_surface
from elocute.head.avatar import AvatarHead
from elocute.head.model import load_head_model
from elocute.head.projection import project
from elocute.values import REGION_NAMES

SIDE = 256  # painted six times finer, like every picture up to 768
SEEDS = (7, 11)


@pytest.fixture(scope="module")
def scenes() -> dict[int, Scene]:
    return {seed: random_scene(seed, SIDE) for seed in SEEDS}


def test_scene_is_whole(scenes: dict[int, Scene]) -> None:
    for scene in scenes.values():
        assert scene.photo.shape == scene.background.shape == (SIDE, SIDE, 3)
        assert scene.photo.dtype == scene.matte.dtype == np.float32
        assert 0 <= scene.photo.min() and scene.photo.max() <= 1
        assert tuple(scene.regions) == REGION_NAMES
        np.testing.assert_allclose(sum(scene.regions.values()), 1, atol=1e-4)
        assert scene.landmarks.shape == (478, 3)
        soft = (scene.matte > 0.05) & (scene.matte < 0.95)
        assert soft.mean() > 0.005  # hair has soft edges


def test_background_is_exact_where_nobody_stands(scenes: dict[int, Scene]) -> None:
    for scene in scenes.values():
        free = scene.matte == 0
        assert free.mean() > 0.15
        np.testing.assert_allclose(scene.photo[free], scene.background[free], atol=1e-6)


def test_framed_like_a_portrait(scenes: dict[int, Scene]) -> None:
    for scene in scenes.values():
        xy = scene.landmarks[:, :2]
        assert np.linalg.norm(xy[10] - xy[152]) == pytest.approx(SIDE / 1.95, rel=0.02)
        assert xy[[33, 133, 362, 263], 1].mean() == pytest.approx(0.48 * SIDE, abs=1)
        assert scene.matte[-1].mean() > 0.7  # shoulders reach the picture's lower edge
        assert scene.matte[0].max() < 0.1


def test_detector_finds_the_face_where_it_is(scenes: dict[int, Scene]) -> None:
    from elocute.errors import EnvironmentProblem
    from elocute.portrait.face import detect_faces

    for seed, scene in scenes.items():
        try:
            faces = detect_faces(np.round(scene.photo * 255).astype(np.uint8))
        except EnvironmentProblem:
            pytest.skip("the face model isn't installed")
        assert len(faces) == 1, seed
        off = np.linalg.norm(faces[0].landmarks[:468, :2] - scene.landmarks[:468, :2], axis=1)
        assert np.median(off) < 0.02 * SIDE, seed


def test_same_seed_same_picture_other_seed_other_person(scenes: dict[int, Scene]) -> None:
    again = random_scene(SEEDS[0], SIDE)
    np.testing.assert_array_equal(again.photo, scenes[SEEDS[0]].photo)
    assert np.abs(scenes[SEEDS[0]].photo - scenes[SEEDS[1]].photo).mean() > 0.03


def test_same_person_at_every_size_to_pores_and_stubble(scenes: dict[int, Scene]) -> None:
    """320 pixels are painted at five times their size, 256 at six times: on other grids."""
    small = scenes[SEEDS[1]]
    large = cv2.resize(random_scene(SEEDS[1], 320).photo, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    skin = small.regions["skin"] > 0.95
    one, other = ((p - cv2.GaussianBlur(p, (0, 0), 2)).mean(2)[skin] for p in (small.photo, large))
    assert np.corrcoef(one, other)[0, 1] > 0.9


def test_eyes_meet_the_camera_and_lips_meet_each_other() -> None:
    model = load_head_model()
    for seed in range(4):
        fit = known_fit(random_person(seed, model.identity_names), model, SIDE)
        points = AvatarHead(model, fit).vertices(fit.expression)
        eye = fit.camera.camera_to_world[:3, 3]
        for ball, centre in zip(model.eyeballs, model.eye_centres(points), strict=True):
            gaze, towards = points[ball[0]] - centre, eye - centre
            cosine = gaze @ towards / np.linalg.norm(gaze) / np.linalg.norm(towards)
            assert np.degrees(np.arccos(min(cosine, 1))) < 1.0
        above, below = model.seams["lips"].openings(points)
        assert np.abs(np.concatenate([above, below])).max() < 2e-4
        assert np.abs(project(model.landmarks(points), fit.camera)[:, :2] - SIDE / 2).max() < SIDE / 2


def test_people_differ_and_stay_plausible() -> None:
    names = load_head_model().identity_names
    people = [random_person(seed, names) for seed in range(200)]
    assert {p.style.cut for p in people} == set(STYLES)
    shades = [p.skin.mean() for p in people]
    assert min(shades) < 0.4 and max(shades) > 0.75
    shapes = np.stack([p.identity for p in people])
    assert np.isfinite(shapes).all() and shapes.min() >= -0.3 and shapes.max() < 1.6
    assert 0.3 < np.mean([p.femininity > 0.5 for p in people]) < 0.7
    assert np.linalg.norm(shapes[0] - shapes[1]) > 0.5


def test_hairline_rises_with_the_receding_latent() -> None:
    model = load_head_model()
    marks = model.landmarks(model.base)
    style = random_person(3, model.identity_names).style
    azimuth = np.linspace(-3.1, 3.1, 101)
    line = hairline(style, marks, azimuth)
    np.testing.assert_allclose(line, line[::-1], atol=0.15)
    assert line[50] > 0.2 and line[0] < -0.4  # high on the forehead, low on the nape


def test_refining_keeps_vertices_and_carries_values() -> None:
    model = load_head_model()
    surface = refine_surface(model.base, model.faces, model.face_part)
    assert len(surface.faces) == 4 * len(model.faces)
    np.testing.assert_allclose(surface.points[: len(model.base)], model.base, atol=1e-9)
    np.testing.assert_allclose(surface.carry(np.ones(len(model.base))), 1, atol=1e-12)
    moved = np.linalg.norm(surface.points - surface.carry(model.base.astype(float)), axis=1)
    assert moved.max() < 0.006


@pytest.mark.parametrize("towards", [(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (0.6, 0.0, 0.8)])
def test_what_faces_a_light_shades_what_is_behind_it(towards: tuple[float, float, float]) -> None:
    """A square 10 cm before a larger one, both facing the light: one vertex behind it, one beside it."""
    way = np.array(towards)
    right = np.cross([0, 1, 0] if abs(way[1]) < 0.9 else [1, 0, 0], way)
    axes = np.stack([right / np.linalg.norm(right), np.cross(way, right / np.linalg.norm(right)), way])
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    points = np.concatenate([0.05 * corners + [0, 0, 0.1], 0.2 * corners, [[0, 0, 0], [0.15, 0, 0]]]) @ axes
    square = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    faces, part, count = np.concatenate([square, square + 4]), np.zeros(4, np.uint8), len(points)
    surface = Surface(points, np.tile(way, (count, 1)), faces, part, sparse.identity(count, format="csr"))
    light, openness = irradiance(surface, (Lamp(way, np.ones(3), 200.0),))
    assert light[-2].max() < 0.05 * light[-1].min() and openness[-2] < 0.9 * openness[-1]
    assert light[:4].min() > 0.9 * light[-1].min(), "nothing shades itself"


def test_strokes_cover_as_much_as_they_are_wide() -> None:
    for width in (0.5, 1.0, 3.0):
        out = np.zeros((40, 60, 4), np.float32)
        line = np.array([[[10.0, 20.0, 1.0], [30.0, 20.0, 1.0], [50.0, 20.0, 1.0]]])
        ink = np.ones((1, 3, 4))
        draw_lines(line, np.full((1, 3), width), ink, np.full((40, 60), np.inf, np.float32), out)
        assert out[..., 3].sum() == pytest.approx(40 * width, rel=0.15)
        behind = np.zeros_like(out)
        draw_lines(line, np.full((1, 3), width), ink, np.full((40, 60), 0.5, np.float32), behind)
        assert behind.max() == 0


def test_curve_passes_through_its_points() -> None:
    points = np.random.default_rng(1).random((6, 2))
    np.testing.assert_allclose(curve(points, 11)[::2], points, atol=1e-9)


@pytest.mark.slow
def test_inversion_reconstructs_a_random_person() -> None:
    from elocute.inversion.invert import invert

    quality = invert(random_scene(5, 512), "cpu", 512, lambda *_: None).psnr
    assert quality["after_tuning"] > 40
    assert quality["after_tuning"] > quality["after_pivot"] > quality["before_pivot"]
