"""The latents of a person who doesn't exist: shape coefficients, colours, hair, clothes and light, from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHAPE, LOOKS, HAIR = range(3)  # independent random streams, so that a new choice in one leaves the others alone

# Directions of the head model that a random person may take, and their standard deviation. MakeHuman's directions are
# extreme at 1; what moves lids, ears and the neck as a whole is kept smaller, so that faces stay pleasant.
SPREADS = (
    ("eye-scale", 0.25), ("eye-corner", 0.25), ("eye-height", 0.15), ("eye-eyefold", 0.30), ("eye-bag", 0.15),
    ("eye-epicanthus", 0.15), ("eye-trans", 0.12), ("eye-push", 0.15), ("cheek-", 0.28), ("chin-", 0.22),
    ("ear-scale", 0.20), ("ear-lobe", 0.25), ("ear-wing", 0.15), ("ear-rot", 0.15), ("eyebrows-", 0.22),
    ("forehead-temple", 0.2), ("forehead-scale-vert", 0.1), ("head-oval", 0.2), ("head-round", 0.2),
    ("head-square", 0.12), ("head-diamond", 0.15), ("head-rectangular", 0.15), ("head-triangular", 0.12),
    ("head-fat", 0.2), ("head-scale-horiz", 0.18), ("head-scale-vert", 0.12), ("mouth-trans-in", 0.0),
    ("mouth-trans-out", 0.0), ("mouth-trans", 0.12), ("mouth-angles", 0.15), ("lip-height", 0.13),
    ("lip-volume", 0.15), ("mouth-", 0.2),
    ("nose-trans-in", 0.0),
    ("nose-trans-out", 0.0), ("nose-septum", 0.1), ("nose-point", 0.18), ("nose-scale-depth", 0.15), ("nose-", 0.24),
    ("neck-circ", 0.15), ("neck-scale-horiz", 0.1), ("muscle", 0.2), ("weight", 0.2),
)  # fmt: skip
ASYMMETRY = 0.05
OPPOSITES = {
    "incr": "decr", "up": "down", "in": "out", "forward": "backward", "max": "min", "uncompress": "compress",
    "convex": "concave",
}  # fmt: skip

# sRGB: skin from pale to dark with its lips; hair; irises; cloth; studio paper
SKINS = ((238, 204, 184), (230, 190, 166), (219, 176, 148), (205, 158, 126), (184, 136, 104), (156, 109, 81),
         (126, 84, 62), (98, 64, 48))  # fmt: skip
LIPS = ((201, 128, 120), (196, 120, 112), (186, 110, 102), (174, 98, 90), (156, 86, 78), (136, 74, 68), (114, 62, 58),
        (96, 54, 52))  # fmt: skip
FAIR_HAIRS = ((214, 178, 122), (178, 134, 80), (134, 92, 56), (98, 66, 42), (70, 47, 33), (46, 32, 25), (128, 66, 38))
DARK_HAIRS = ((46, 33, 26), (34, 26, 22), (26, 21, 19), (58, 40, 30))
GREY_HAIR = (176, 174, 172)
FAIR_IRISES = ((96, 134, 168), (112, 140, 140), (104, 128, 84), (128, 98, 58), (98, 66, 38), (82, 108, 132))
DARK_IRISES = ((86, 54, 32), (70, 44, 28), (56, 36, 26), (98, 62, 34))
CLOTHES = ((38, 52, 78), (120, 42, 50), (52, 84, 74), (210, 204, 194), (58, 58, 62), (146, 106, 70), (96, 116, 146),
           (134, 92, 120), (186, 160, 70), (84, 66, 56), (164, 176, 168), (30, 32, 36))  # fmt: skip
PAPERS = ((150, 160, 172), (178, 168, 156), (128, 138, 134), (110, 118, 134), (188, 184, 180), (150, 132, 124),
          (98, 106, 112), (160, 172, 160))  # fmt: skip
STYLES = ("cropped", "parted", "swept", "bob", "long", "tied", "curly", "shaved")
NECKLINES = ("crew", "vee", "high", "scoop")


@dataclass(frozen=True)
class Style:
    """Hair: `cut` of STYLES; `length` metres; `lift` metres of volume; `part` x of the parting in metres; `curl` 0..1;
    `hairline` degrees by which it lies higher; `recede` 0..1 at the temples; `fringe` whether hair falls on the
    forehead; `knot` whether tied hair sits on the crown; `mirror` -1 or 1 the side it is combed to."""

    cut: str
    length: float
    lift: float
    part: float
    curl: float
    hairline: float
    recede: float
    fringe: bool
    knot: bool
    mirror: float


@dataclass(frozen=True)
class Person:
    """`identity` [I] coefficients of the head model; colours sRGB 0..1 [3]; `femininity`, `grey`, `freckles`, `brow`,
    `flush` 0..1, `stubble` from 0 on; `turn` (yaw, pitch, roll) radians; `key` yaw and pitch of the main light."""

    identity: np.ndarray
    femininity: float
    skin: np.ndarray
    lips: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    cloth: np.ndarray
    paper: np.ndarray
    grey: float
    freckles: float
    stubble: float
    brow: float
    flush: float
    style: Style
    neckline: str
    turn: tuple[float, float, float]
    key: tuple[float, float]


def stream(seed: int, which: int) -> np.random.Generator:
    """An independent random stream of a seed; the same on every machine."""
    return np.random.default_rng([abs(int(seed)), int(seed < 0), which])


def random_person(seed: int, names: tuple[str, ...]) -> Person:
    """The person behind a seed; `names` [I] are the head model's identity directions."""
    rng = stream(seed, SHAPE)
    origins = rng.dirichlet([0.3, 0.3, 0.36])  # african, asian, caucasian: a convex mix, mostly near a corner
    female = bool(rng.random() < 0.5)
    femininity = float(np.clip(rng.normal(0.95 if female else 0.08, 0.06), 0, 1))
    age = float(rng.beta(1.3, 2.6))  # 0 young adult, 1 old
    identity = _shape(rng, names, origins, femininity, age)
    rng = stream(seed, LOOKS)
    depth = float(np.clip(origins @ [0.78, 0.32, 0.14] + rng.normal(0, 0.07), 0, 1))
    skin = _ramp(SKINS, depth)
    fair = origins[2] > 0.5 and depth < 0.45
    hair = _mix(rng, FAIR_HAIRS if fair else DARK_HAIRS)
    grey = float(np.clip((age - 0.45) * 2.4 + rng.normal(0, 0.15), 0, 1)) if age > 0.4 else 0.0
    hair = hair + grey * (np.array(GREY_HAIR) / 255 - hair)
    lips = _ramp(LIPS, depth)
    if female:
        lips = lips + rng.uniform(0, 0.3) * (np.array([0.72, 0.26, 0.28]) - lips)
    return Person(
        identity=identity, femininity=femininity, skin=skin, lips=lips, hair=hair,
        iris=_mix(rng, FAIR_IRISES if fair else DARK_IRISES), cloth=_mix(rng, CLOTHES, 0.15),
        paper=_mix(rng, PAPERS, 0.3), grey=grey, freckles=float(fair and depth < 0.25 and rng.random() < 0.35),
        stubble=0.0 if female else float(max(0.0, rng.normal(0.25, 0.35))),
        brow=float(rng.uniform(0.1, 0.45) if female else rng.uniform(0.5, 1)),
        flush=float(rng.uniform(0.4, 1)), style=_style(stream(seed, HAIR), origins, female, age),
        neckline=str(rng.choice(NECKLINES)),
        turn=(rng.normal(0, 0.05), rng.normal(0, 0.025), rng.normal(0, 0.02)),
        key=(float(rng.choice([-1, 1]) * rng.uniform(0.45, 0.85)), float(rng.uniform(0.45, 0.7))),
    )  # fmt: skip


def _shape(
    rng: np.random.Generator, names: tuple[str, ...], origins: np.ndarray, femininity: float, age: float
) -> np.ndarray:
    out = dict.fromkeys(names, 0.0)
    centred = origins - origins.min()  # the model's base is the even mix already
    for name, share in zip(("african", "asian", "caucasian"), centred, strict=True):
        out[f"race-{name}"] = 0.75 * float(share)
    out["gender-female"] = 1.1 * max(0.0, 2 * femininity - 1)
    out["gender-male"] = 0.8 * max(0.0, 1 - 2 * femininity)
    out["age-old"] = 0.5 * age**1.3
    drawn: set[str] = set()
    for name in names:
        plain = name[2:] if name.startswith(("l-", "r-")) else name
        spread = next((s for key, s in SPREADS if key in plain), 0.0)
        if name.startswith("asym"):
            out[name] = float(rng.normal(0, ASYMMETRY))
        elif spread and plain not in drawn:
            drawn |= {plain, _opposite(plain)}
            _draw(out, plain, float(np.clip(rng.normal(0, spread), -2 * spread, 2 * spread)))
    for name, value in FLATTERY:
        _draw(out, name, value * (0.35 + 0.65 * femininity), add=True)
    return np.array([out[name] for name in names], np.float32)


# The model's middle face has a stern mouth and narrow eyes; a touch of these makes people one likes to look at.
FLATTERY = (
    ("mouth-angles-up", 0.40), ("eye-scale-incr", 0.30), ("mouth-upperlip-volume-incr", 0.2),
    ("mouth-upperlip-height-incr", 0.1), ("forehead-scale-vert-decr", 0.25), ("head-oval", 0.3),
    ("chin-width-decr", 0.4), ("head-fat-decr", 0.25), ("mouth-scale-horiz-incr", 0.1),
)  # fmt: skip


def _opposite(name: str) -> str:
    head, _, tail = name.rpartition("-")
    other = OPPOSITES.get(tail) or {v: k for k, v in OPPOSITES.items()}.get(tail)
    return f"{head}-{other}" if other else name


def _draw(out: dict[str, float], plain: str, value: float, add: bool = False) -> None:
    """Sets a direction, or its opposite for a negative value, on both sides of the face."""
    if value < 0 and _opposite(plain) == plain:
        return
    plain, value = (plain, value) if value >= 0 else (_opposite(plain), -value)
    for name in (plain, f"l-{plain}", f"r-{plain}"):
        if name in out:
            out[name] = value + (out[name] if add else 0.0)


def _style(rng: np.random.Generator, origins: np.ndarray, female: bool, age: float) -> Style:
    likely = np.array([0.04, 0.06, 0.08, 0.28, 0.34, 0.2, 0.0, 0.0] if female else [0.3, 0.3, 0.22, 0, 0, 0, 0, 0.18])
    likely[STYLES.index("curly")] = 0.1 + 1.2 * origins[0] ** 2
    cut = str(rng.choice(STYLES, p=likely / likely.sum()))
    length = {
        "cropped": (0.018, 0.034), "parted": (0.055, 0.08), "swept": (0.06, 0.085), "bob": (0.15, 0.2),
        "long": (0.28, 0.36), "tied": (0.16, 0.2), "curly": (0.03, 0.07), "shaved": (0.002, 0.004),
    }[cut]  # fmt: skip
    thinning = 0.0 if female else float(np.clip(age * 1.2 - 0.25 + rng.normal(0, 0.15), 0, 1))
    return Style(
        cut=cut, length=float(rng.uniform(*length)), lift=float(rng.uniform(0.006, 0.014)),
        part=float(rng.uniform(0.005, 0.04)), curl=float(rng.uniform(0, 0.6) if cut in ("bob", "long") else 0.1),
        hairline=float(rng.normal(0, 1.5) + 6 * thinning), recede=float(0.15 + 0.6 * thinning),
        fringe=bool(cut in ("bob", "long", "cropped") and rng.random() < 0.3),
        knot=bool(rng.random() < 0.5), mirror=float(rng.choice([-1, 1])),
    )  # fmt: skip


def _ramp(stops: tuple[tuple[int, int, int], ...], at: float) -> np.ndarray:
    """Colour [3] 0..1 at 0..1 along a list of stops."""
    table = np.array(stops) / 255
    return np.array([np.interp(at * (len(table) - 1), np.arange(len(table)), table[:, c]) for c in range(3)])


def _mix(rng: np.random.Generator, colours: tuple[tuple[int, int, int], ...], share: float = 0.25) -> np.ndarray:
    """One of the colours with a little of another, [3] 0..1."""
    a, b = (np.array(colours[int(rng.integers(len(colours)))]) / 255 for _ in range(2))
    return a + rng.uniform(0, share) * (b - a)
