"""A photo's file in, everything the later stages need to know about it out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from elocute.portrait.face import choose_face, detect_faces, faces_beside, roll_of
from elocute.portrait.image import Picture, load_image, on_grey
from elocute.portrait.lips import settle_lips
from elocute.portrait.matting import matte
from elocute.portrait.regions import find_regions
from elocute.values import Face, Portrait


def analyse(path: str | Path) -> Portrait:
    """Read, find the face, cut the person out, name the regions. Takes about 2 s.

    A photo that lies on its side or stands upside down is turned upright first, and a note says so.
    Raises BadInput (codes of `load_image` and `choose_face`), EnvironmentProblem (a model file is missing).
    """
    picture = load_image(path)
    rgb, alpha, notes = picture.rgb, picture.alpha, []
    faces = detect_faces(on_grey(rgb, alpha))
    if turns := quarter_turns(faces):
        rgb = np.ascontiguousarray(np.rot90(rgb, turns))
        alpha = None if alpha is None else np.ascontiguousarray(np.rot90(alpha, turns))
        faces = detect_faces(on_grey(rgb, alpha))
        notes.append(f"the photo {'was upside down' if turns == 2 else 'lay on its side'}; it is used upright")
    if faces:
        faces = [faces[0], *faces_beside(on_grey(rgb, alpha), faces[0])]
    return _analysed(replace(picture, rgb=rgb, alpha=alpha), faces, Path(path).name, notes)


def quarter_turns(faces: list[Face]) -> int:
    """By how many times 90 degrees `np.rot90` has to turn a photo of these faces to make the first one upright."""
    return round(np.degrees(roll_of(faces[0].landmarks)) / 90) % 4 if faces else 0


def analyse_upright(rgb: np.ndarray, name: str) -> Portrait:
    """The same for a picture uint8 [H, W, 3] that is in memory and upright already; `name` is what messages call it."""
    picture = Picture(rgb, None)
    return _analysed(picture, detect_faces(rgb), name, [])


def _analysed(picture: Picture, faces: list[Face], name: str, notes: list[str]) -> Portrait:
    face, about_face = choose_face(faces, name, picture.rgb.shape[:2])
    face = settle_lips(picture.rgb, face)
    alpha_matte, foreground = matte(picture.rgb, face, picture.alpha)
    regions = find_regions(picture.rgb, alpha_matte, face)
    return Portrait(picture.rgb, alpha_matte, foreground, face, regions, (*notes, *about_face))
