"""Finding the face and its landmarks, on a real photo moved about in known ways."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from elocute.errors import BadInput
from elocute.portrait.face import (
    SCORE_LANDMARKS,
    SCORE_NAMES,
    choose_face,
    detect_faces,
    face_height,
    faces_beside,
    head_turn,
    shared_landmarker,
)
from elocute.values import ARKIT_NAMES

# MediaPipe 1.2.2's own runtime on examples/portrait.jpg, running mode VIDEO, settled: landmark -> pixels.
MEDIAPIPE = {
    1: (265.6, 246.1), 4: (265.3, 237.9), 10: (261.0, 132.9), 13: (266.6, 279.4), 14: (266.7, 279.5),
    17: (266.7, 290.6), 33: (206.0, 192.4), 61: (233.4, 279.7), 78: (236.4, 279.4), 133: (240.3, 194.3),
    152: (269.0, 334.5), 159: (219.0, 185.5), 145: (222.9, 196.6), 168: (264.0, 187.8), 234: (175.0, 216.2),
    263: (321.9, 186.7), 291: (301.5, 276.8), 308: (298.8, 276.8), 362: (288.5, 192.0), 386: (308.6, 181.2),
    374: (305.8, 192.4), 454: (353.1, 207.5), 468: (222.7, 191.4), 473: (306.0, 187.1),
}  # fmt: skip


def moved(points, matrix):
    return points[:, :2] @ matrix[:, :2].T + matrix[:, 2]


def off_by(face, points):
    return float(np.linalg.norm(face.landmarks[:, :2] - points, axis=1).mean())


def turned(rgb, degrees, centre):
    """The photo turned clockwise about a point on a larger canvas, and where its points go."""
    side = 1000
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), -degrees, 1)
    matrix[:, 2] += side / 2 - centre
    half = matrix[:, :2] @ [0.5, 0.5] - 0.5  # pixel centres
    for_opencv = matrix.copy()
    for_opencv[:, 2] += half
    picture = cv2.warpAffine(rgb, for_opencv, (side, side), borderMode=cv2.BORDER_CONSTANT, borderValue=(90, 110, 130))
    return picture, matrix


def test_agrees_with_mediapipes_own_runtime(portrait):
    found = portrait.face.landmarks[list(MEDIAPIPE)]
    difference = np.linalg.norm(found[:, :2] - np.array(list(MEDIAPIPE.values())), axis=1)
    assert difference.mean() < 1.2


def test_scores_are_in_arkit_order(portrait):
    assert len(SCORE_LANDMARKS) == 146 and set(SCORE_NAMES) == set(ARKIT_NAMES) - {"tongueOut"}
    scores = dict(zip(ARKIT_NAMES, portrait.face.scores, strict=True))
    assert 0 <= min(scores.values()) and max(scores.values()) <= 1
    assert scores["tongueOut"] == 0 and scores["jawOpen"] < 0.1 and scores["eyeBlinkLeft"] < 0.4


def test_left_is_the_subjects_left(portrait):
    """Closing the eye on the viewer's right raises eyeBlinkLeft."""
    landmarks = portrait.face.landmarks.copy()
    upper, lower = [398, 384, 385, 386, 387, 388, 466], [382, 381, 380, 374, 373, 390, 249]
    landmarks[upper, :2] = landmarks[lower, :2]
    closed = shared_landmarker()._face(landmarks, 20.0)
    change = dict(zip(ARKIT_NAMES, closed.scores - portrait.face.scores, strict=True))
    assert change["eyeBlinkLeft"] > 0.3 > abs(change["eyeBlinkRight"]) * 3


@pytest.mark.parametrize("degrees", [-45, -20, 10, 45, 90, 180, 270])
def test_a_turned_photo_gives_turned_landmarks(rgb, portrait, degrees):
    centre = portrait.face.landmarks[:, :2].mean(axis=0)
    picture, matrix = turned(rgb, degrees, centre)
    faces = detect_faces(picture)
    assert len(faces) == 1
    assert off_by(faces[0], moved(portrait.face.landmarks, matrix)) < 2.0
    roll = np.degrees(head_turn(faces[0].landmarks)[2] - head_turn(portrait.face.landmarks)[2])
    assert abs((roll - degrees + 180) % 360 - 180) < 3
    assert np.abs(faces[0].scores - portrait.face.scores).max() < 0.25


def test_a_small_face_in_a_large_photo(rgb, portrait):
    small = cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    picture = np.full((1500, 2000, 3), (120, 130, 140), np.uint8)
    picture[1100 : 1100 + small.shape[0], 1500 : 1500 + small.shape[1]] = small
    (face,) = detect_faces(picture)
    assert off_by(face, portrait.face.landmarks[:, :2] / 2 + [1500, 1100]) < 1.5


def test_a_face_that_fills_the_picture(rgb, portrait):
    x0, y0, x1, y1 = (round(edge) for edge in portrait.face.box)
    (face,) = detect_faces(np.ascontiguousarray(rgb[y0:y1, x0:x1]))
    assert off_by(face, portrait.face.landmarks[:, :2] - [x0, y0]) < 3


def test_the_larger_of_two_faces_is_used_and_a_note_says_so(rgb, portrait):
    small = cv2.resize(rgb, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    picture = np.full((600, 512 + small.shape[1], 3), 100, np.uint8)
    picture[: small.shape[0], : small.shape[1]] = small
    picture[:, small.shape[1] :] = rgb
    faces = detect_faces(picture)
    assert len(faces) == 2
    face, notes = choose_face(faces, "two.png")
    assert face_height(face) == pytest.approx(face_height(portrait.face), rel=0.02)
    assert any("2 faces" in note for note in notes)


def test_another_face_that_one_look_misses_is_told_and_a_passer_by_is_not(rgb, portrait):
    def beside(scale):
        small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        picture = np.full((600, 1700, 3), 100, np.uint8)
        picture[:, :512] = rgb
        picture[: small.shape[0], -small.shape[1] :] = small
        faces = detect_faces(picture)
        return faces, faces_beside(picture, faces[0])

    seen, others = beside(0.6)
    assert len(seen) == 1 and len(others) == 1
    assert face_height(others[0]) == pytest.approx(0.6 * face_height(portrait.face), rel=0.02)
    assert any("2 faces" in note and "crop" in note for note in choose_face([*seen, *others])[1])
    assert not beside(0.4)[1] and not faces_beside(rgb, portrait.face)


def test_tracking_gives_what_detection_gives(rgb, portrait):
    landmarker = shared_landmarker()
    shifted = np.roll(rgb, (4, 6), axis=(0, 1))
    face = landmarker.track(shifted, portrait.face)
    assert off_by(face, portrait.face.landmarks[:, :2] + [6, 4]) < 1
    assert landmarker.track(np.full_like(rgb, 90), face) is None


@pytest.mark.parametrize("kind", ["flat", "noise", "smooth noise"])
def test_no_face_where_there_is_none(kind):
    noise = np.random.default_rng(1).integers(0, 255, (400, 500, 3), np.uint8)
    picture = {"flat": np.full_like(noise, 128), "noise": noise, "smooth noise": cv2.GaussianBlur(noise, (0, 0), 12)}
    with pytest.raises(BadInput) as caught:
        choose_face(detect_faces(picture[kind]), "nobody.png")
    assert caught.value.code == "no_face" and "nobody.png" in caught.value.message


def spun(face, yaw=0.0, pitch=0.0):
    """The face turned in space by degrees."""
    y, p = np.radians([yaw, pitch])
    around_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    around_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    centre = face.landmarks.mean(axis=0)
    return replace(face, landmarks=(face.landmarks - centre) @ (around_x @ around_y).T + centre)


def test_the_turn_of_a_head_is_read_from_its_landmarks(portrait):
    start = np.degrees(head_turn(portrait.face.landmarks))
    assert np.degrees(head_turn(spun(portrait.face, yaw=20).landmarks))[0] - start[0] == pytest.approx(20, abs=1)
    assert np.degrees(head_turn(spun(portrait.face, pitch=20).landmarks))[1] - start[1] == pytest.approx(20, abs=1)


def test_faces_that_can_not_be_used_each_have_their_own_code(portrait):
    def code(face, **options):
        with pytest.raises(BadInput) as caught:
            choose_face([face], "photo.png", **options)
        return caught.value.code

    assert choose_face([portrait.face], "photo.png", (600, 512))[0] is portrait.face
    assert code(replace(portrait.face, landmarks=portrait.face.landmarks * 0.4)) == "face_too_small"
    assert code(spun(portrait.face, yaw=55)) == "face_turned_away"
    assert code(spun(portrait.face, pitch=-55)) == "face_turned_away"
    beyond = replace(portrait.face, landmarks=portrait.face.landmarks - [260, 0, 0])
    assert code(beyond, size=(600, 512)) == "face_cut_off"


def test_a_face_seen_from_the_side_or_tilted_is_told(portrait):
    assert choose_face([portrait.face])[1] == ()
    for yaw in (-38, 38):
        assert any("aside: half of it is guessed" in note for note in choose_face([spun(portrait.face, yaw=yaw)])[1])
    assert not any("aside" in note for note in choose_face([spun(portrait.face, yaw=15)])[1])
