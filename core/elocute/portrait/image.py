"""Reading a photo, whatever a camera, a phone or a paint program wrote, into plain sRGB."""

from __future__ import annotations

import errno
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from elocute.errors import BadInput
from elocute.files import BROKEN_PICTURE, read_input

# Larger photos are reduced to this side (by area): at the 1024 pixels that a head keeps, the face has more than enough
# detail, and every later step stays quick.
MAX_SIDE = 3072
MIN_SIDE = 64  # below, no face can have the 96 pixels it needs; said before any network runs
MAX_BYTES = 1 << 30  # no photo is as large; a file that is would only fill the memory
# What cameras, phones, browsers and paint programs write. Pillow reads more, among them formats that start programs.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF", "JPEG2000", "PPM")
GREY = 128  # behind a cut-out
GREY_TOPS = (255, 1023, 4095, 65535)  # white of 8, 10, 12 and 16 bits; scanners leave the upper ones of 16 unused
HIGHLIGHTS = 4.0  # floating grey up to this has its white at 1, and lights brighter than that
MAX_MEGAPIXELS = 100  # checked in the header, before decoding: some kilobytes can unpack to terabytes


@dataclass(frozen=True)
class Picture:
    """A photo: `rgb` uint8 [H, W, 3] in sRGB, `alpha` float32 [H, W] in 0..1 or None when it is opaque."""

    rgb: np.ndarray
    alpha: np.ndarray | None


def on_grey(rgb: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """uint8 [H, W, 3], with `alpha` [H, W] 0..1 as a viewer sees it: a cut-out before grey. Under transparent pixels a
    file may hide any colour."""
    if alpha is None:
        return rgb
    return np.round(rgb * alpha[..., None] + GREY * (1 - alpha[..., None])).astype(np.uint8)


def load_image(path: str | Path, max_side: int | None = MAX_SIDE) -> Picture:
    """Read a photo upright (EXIF) and in sRGB (embedded profile), at most `max_side` on its longer side; None keeps its
    size.

    Raises BadInput: "image_missing", "image_is_directory", "image_unreadable", "image_truncated", "image_too_large",
    "image_too_small".
    """
    path = Path(path)
    content = read_file(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large or odd files: what matters is said in a sentence of ours
        image = _decode(content, path)
        rgb, alpha = _to_srgb(image)
    if max_side is not None and max(image.size) > max_side:
        rgb, alpha = _reduce(rgb, alpha, max_side)
    return Picture(rgb, alpha)


def read_photo(path: str | Path) -> bytes:
    """A photo's bytes, of which the header has been looked into: enough to recognise a photo whose avatar is kept, and
    to refuse at once what is none.

    Raises BadInput as `load_image` does, apart from "image_truncated".
    """
    content = read_file(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _open(content, Path(path))
    return content


def read_file(path: str | Path) -> bytes:
    """A photo's bytes, not looked into.

    Raises BadInput: "image_missing", "image_is_directory", "image_unreadable".
    """
    path = Path(path)
    if os.path.isdir(path):
        raise BadInput("image_is_directory", f"{path} is a folder. Name a photo in it.")
    try:
        return read_input(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise BadInput("image_missing", f"there is no file {path}. Check the name.") from error
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise BadInput("image_too_large", f"{path} is {error.strerror}. Reduce the photo.") from error
        raise BadInput("image_unreadable", f"{path} can't be read ({error.strerror}). Check its rights.") from error


def _open(content: bytes, path: Path) -> Image.Image:
    """The picture with its header read."""
    try:
        Image.init()
        if content[4:8] == b"ftyp":  # an iPhone's photo, or another of the same boxes
            from pillow_heif import register_heif_opener

            register_heif_opener(thumbnails=False)
        image = Image.open(io.BytesIO(content), formats=[name for name in FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise _too_large(path, f"far more than {MAX_MEGAPIXELS} megapixels") from error
    except BROKEN_PICTURE as error:
        raise BadInput("image_unreadable", f"{path} is no photo Elocute can read. Save it as JPEG or PNG.") from error
    width, height = image.size
    if width * height > MAX_MEGAPIXELS * 1e6:
        raise _too_large(path, f"{width * height / 1e6:.0f} megapixels, more than {MAX_MEGAPIXELS}")
    if min(width, height) < MIN_SIDE:
        raise BadInput(
            "image_too_small", f"{path} has {width} x {height} pixels. Use a photo of at least 300 x 300 pixels."
        )
    return image


def _decode(content: bytes, path: Path) -> Image.Image:
    """The decoded, upright picture in whatever mode the file has."""
    image = _open(content, path)
    try:
        image.load()
        return ImageOps.exif_transpose(image)
    except BROKEN_PICTURE as error:
        raise BadInput(
            "image_truncated", f"{path} is damaged or incomplete. Copy or download the photo again."
        ) from error


def _too_large(path: Path, amount: str) -> BadInput:
    return BadInput("image_too_large", f"{path} has {amount}. Reduce the photo; {MAX_SIDE} pixels do.")


def _to_srgb(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Any mode to rgb uint8 [H, W, 3] and alpha float32 [H, W] (None when opaque everywhere)."""
    alpha = None
    if image.mode.startswith(("I", "F")):
        alpha = _keyed(image)
        image = _to_eight_bits(image)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image if image.mode in ("RGBA", "LA", "La", "RGBa") else image.convert("RGBA")
        straight = image.convert("RGBA")
        opacity = np.asarray(straight.getchannel("A"), np.float32) / 255
        opacity = opacity / max(float(opacity.max()), 1 / 255)  # a layer half faded as a whole is no thinner person
        alpha = opacity if opacity.min() < 1 else None
        image = straight.convert("RGB")
    if image.mode not in ("RGB", "CMYK", "L", "LAB"):
        image = image.convert("RGB")
    image = _apply_profile(image)
    return np.array(image.convert("RGB")), alpha


def _keyed(image: Image.Image) -> np.ndarray | None:
    """Opacity of 16-bit grey of which one value is transparent (a PNG's tRNS): asked before it has eight bits, where
    neighbours of that value would be taken for it."""
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return None
    opaque = np.asarray(image) != key
    return None if opaque.all() else opaque.astype(np.float32)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and floating grey to 8 bits; Pillow alone would clip them to white."""
    values = np.asarray(image).astype(np.float64)
    highest = float(np.nan_to_num(values).max())
    if image.mode == "F" and highest <= HIGHLIGHTS:
        top = 1.0
    else:
        top = next((top for top in GREY_TOPS if highest <= top), GREY_TOPS[-1])
    eight = np.clip(np.round(np.nan_to_num(values) / top * 255), 0, 255).astype(np.uint8)
    grey = Image.fromarray(eight)
    grey.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return grey


def _apply_profile(image: Image.Image) -> Image.Image:
    """Colours by the embedded ICC profile; a broken or foreign profile leaves them as they are."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a wrong profile (grey profile in a colour file) is common and no reason to refuse a photo
    return converted if converted is not None else image


def _reduce(rgb: np.ndarray, alpha: np.ndarray | None, side: int) -> tuple[np.ndarray, np.ndarray | None]:
    import cv2

    scale = side / max(rgb.shape[:2])
    size = (max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return small, None if alpha is None else cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
