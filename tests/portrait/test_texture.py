"""Patches of the visible part continue it."""

import numpy as np

from elocute.portrait import texture
from elocute.portrait.texture import continue_texture


def test_every_hidden_pixel_comes_from_a_visible_one():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (120, 160, 3), np.uint8)
    hole = np.zeros((120, 160), bool)
    hole[40:, 50:110] = True
    made = continue_texture(rgb, hole)  # smaller than the finest size, so at its own
    assert np.array_equal(made.image[~hole], rgb[~hole])
    assert (made.offset[hole] != 0).any(axis=1).all()
    place = np.argwhere(hole) + made.offset[hole]
    assert not hole[tuple(place.T)].any()


def test_nothing_to_continue_from():
    rgb = np.zeros((80, 80, 3), np.uint8)
    assert continue_texture(rgb, np.ones((80, 80), bool)) is None
    hole = np.ones((80, 80), bool)
    hole[0] = False
    assert continue_texture(rgb, hole) is None


def test_costs_are_squared_differences():
    """The products that the search minimises, against the plain sum."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (40, 40, 3), np.uint8)
    hole = np.zeros((40, 40), bool)
    hole[15:30, 15:30] = True
    level = texture._level(rgb, hole, texture._guide(rgb, hole), 40)
    wanted, offered = texture._compared(level, level.image, None)
    got = wanted @ offered.T

    def plain(t, s):
        (y, x), (v, u) = level.targets[t], level.sources[s]
        steps = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
        inside = [(dy, dx) for dy, dx in steps if 0 <= y + dy < 40 and 0 <= x + dx < 40]
        weight = np.array([level.trust[y + dy, x + dx] for dy, dx in inside])
        apart = [((level.image[y + dy, x + dx] - level.image[v + dy, u + dx]) ** 2).sum() for dy, dx in inside]
        return (weight * apart).sum() / weight.sum() + ((level.asked[t] - level.had[s]) ** 2).sum()

    middle = [s for s, (y, x) in enumerate(level.sources) if 2 <= y < 38 and 2 <= x < 38]
    for t in (0, len(level.targets) // 2):
        relative = np.array([plain(t, s) for s in middle[:20]])
        assert np.allclose(np.diff(relative), np.diff(got[t, middle[:20]]), rtol=1e-3, atol=1)
    chosen = texture._search(wanted, offered)
    assert np.array_equal(chosen, got.argmin(axis=1))


def test_neighbours_agree_where_nothing_speaks_against_it():
    """On a plain picture any source will do: then large parts are copied in one piece."""
    rgb = np.full((96, 96, 3), 120, np.uint8)
    hole = np.zeros((96, 96), bool)
    hole[30:70, 30:70] = True
    offset = continue_texture(rgb, hole).offset
    same = (np.diff(offset, axis=1)[hole[:, 1:] & hole[:, :-1]] == 0).all(axis=1)
    assert same.mean() > 0.7
