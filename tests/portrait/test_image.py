"""Reading photos: every kind of file a user may have, made on the fly."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from pillow_heif import register_heif_opener

from elocute.errors import BadInput
from elocute.portrait.image import MAX_SIDE, load_image


@pytest.fixture(scope="module")
def gradient():
    """Smooth colours, so that JPEG changes little. [120, 160, 3]"""
    y, x = np.mgrid[0:120, 0:160]
    return np.stack([x + 40, y + 60, (x + y) // 2 + 30], axis=2).astype(np.uint8)


def code_of(path):
    with pytest.raises(BadInput) as caught:
        load_image(path)
    assert caught.value.exit_code == 2
    assert str(path.name) in caught.value.message
    return caught.value.code


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_lossless_formats_come_back_exactly(tmp_path, gradient, suffix):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(gradient).save(path, **({"lossless": True} if suffix == "webp" else {}))
    picture = load_image(path)
    assert np.array_equal(picture.rgb, gradient)
    assert picture.alpha is None


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_an_iphone_s_photo_is_read_upright_and_in_srgb(tmp_path, gradient, orientation):
    register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.rot90(gradient, {1: 0, 3: 2, 6: 1, 8: -1}[orientation])
    path = tmp_path / "IMG_0001.HEIC"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, format="HEIF", quality=-1, exif=exif.tobytes())
    assert path.read_bytes()[4:8] == b"ftyp"
    picture = load_image(path)
    assert picture.rgb.shape == gradient.shape and picture.alpha is None
    assert np.abs(picture.rgb.astype(int) - gradient).max() <= 4  # chroma of 4:2:0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, gradient, orientation):
    stored = {
        1: gradient, 2: gradient[:, ::-1], 3: gradient[::-1, ::-1], 4: gradient[::-1],
        5: gradient.transpose(1, 0, 2), 6: np.rot90(gradient, 1), 7: np.rot90(gradient.transpose(1, 0, 2), 2),
        8: np.rot90(gradient, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "phone.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    assert np.array_equal(load_image(path).rgb, gradient)


def test_alpha_is_kept_and_a_full_alpha_is_none(tmp_path, gradient):
    alpha = np.full((120, 160), 255, np.uint8)
    Image.fromarray(np.dstack([gradient, alpha])).save(tmp_path / "full.png")
    assert load_image(tmp_path / "full.png").alpha is None
    alpha[:, :50] = 51
    Image.fromarray(np.dstack([gradient, alpha])).save(tmp_path / "part.png")
    picture = load_image(tmp_path / "part.png")
    assert np.array_equal(picture.rgb, gradient)
    assert np.allclose(picture.alpha, alpha / 255)


def test_a_layer_that_is_faded_as_a_whole_is_the_same_photo(tmp_path, gradient):
    alpha = np.full((120, 160), 102, np.uint8)
    Image.fromarray(np.dstack([gradient, alpha])).save(tmp_path / "faded.png")
    assert load_image(tmp_path / "faded.png").alpha is None
    alpha[:, :50] = 0
    Image.fromarray(np.dstack([gradient, alpha])).save(tmp_path / "cut-out.png")
    assert np.array_equal(load_image(tmp_path / "cut-out.png").alpha, alpha / np.float32(102))
    Image.fromarray(np.dstack([gradient, 0 * alpha])).save(tmp_path / "nothing.png")
    assert not load_image(tmp_path / "nothing.png").alpha.any()


def test_palette_with_transparency(tmp_path, gradient):
    indexed = Image.fromarray(gradient).quantize(64)
    indexed.save(tmp_path / "palette.png", transparency=0)
    picture = load_image(tmp_path / "palette.png")
    assert np.abs(picture.rgb.astype(int) - gradient)[picture.alpha > 0].mean() < 8
    assert picture.alpha.min() == 0


def test_cmyk_jpeg(tmp_path, gradient):
    Image.fromarray(gradient).convert("CMYK").save(tmp_path / "print.jpg", quality=98)
    assert np.abs(load_image(tmp_path / "print.jpg").rgb.astype(int) - gradient).mean() < 6


def test_greyscale_and_sixteen_bits_agree(tmp_path, gradient):
    grey = gradient[..., 0]
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    eight, sixteen = load_image(tmp_path / "8.png").rgb, load_image(tmp_path / "16.png").rgb
    assert np.array_equal(eight, np.repeat(grey[..., None], 3, axis=2))
    assert np.array_equal(eight, sixteen)


@pytest.mark.parametrize("top", [1023, 4095, 65535, 1.0])
def test_white_is_where_a_scanner_has_it(tmp_path, gradient, top):
    """10 and 12 bits in words of 16; floats with lights brighter than white."""
    grey = gradient[..., 0]
    white = float(grey.max())
    if top == 1.0:
        values = (grey / white).astype(np.float32)
        values[0, 0] = 1.2
    else:
        values = np.round(grey / white * top).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "scan.tif")
    seen = load_image(tmp_path / "scan.tif").rgb[..., 0].astype(float)
    assert np.abs(seen - grey / white * 255)[1:].max() <= 1


def test_sixteen_bit_grey_with_a_transparent_value(tmp_path, gradient):
    grey = gradient[..., 0].astype(np.uint16) * 257
    grey[0, 0] = grey[5, 5] + 1  # one level of 65535 beside the transparent one
    Image.fromarray(grey).save(tmp_path / "keyed.png", transparency=int(grey[5, 5]))
    picture = load_image(tmp_path / "keyed.png")
    assert np.abs(picture.rgb[..., 0].astype(int) - gradient[..., 0])[1:].max() == 0
    assert np.array_equal(picture.alpha == 0, grey == grey[5, 5]) and picture.alpha[0, 0] == 1


def test_sixteen_bit_colour_png(tmp_path, gradient):
    """Pillow cannot write it, so the file is put together by hand."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in gradient.astype(np.uint16) * 257)
    header = struct.pack(">IIBBBBB", 160, 120, 16, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert np.abs(load_image(tmp_path / "deep.png").rgb.astype(int) - gradient).max() <= 1


def test_embedded_profiles(tmp_path, gradient):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(gradient).save(tmp_path / "srgb.png", icc_profile=srgb)
    assert np.abs(load_image(tmp_path / "srgb.png").rgb.astype(int) - gradient).max() <= 2
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.fromarray(gradient).save(tmp_path / "wrong.png", icc_profile=lab)  # does not fit an RGB picture
    Image.fromarray(gradient).save(tmp_path / "broken.png", icc_profile=b"no profile")
    assert np.array_equal(load_image(tmp_path / "wrong.png").rgb, gradient)
    assert np.array_equal(load_image(tmp_path / "broken.png").rgb, gradient)


def test_a_large_photo_is_reduced(tmp_path):
    Image.new("RGB", (4500, 1500), (10, 200, 30)).save(tmp_path / "large.png")
    picture = load_image(tmp_path / "large.png")
    assert picture.rgb.shape == (1024, MAX_SIDE, 3)
    assert (picture.rgb == [10, 200, 30]).all()
    assert load_image(tmp_path / "large.png", max_side=None).rgb.shape == (1500, 4500, 3)


def test_files_that_can_not_be_used_each_have_their_own_code(tmp_path, gradient):
    buffer = io.BytesIO()
    Image.fromarray(gradient).save(buffer, "JPEG", quality=95)
    jpeg = buffer.getvalue()
    files = {
        "half.jpg": jpeg[: len(jpeg) // 2],
        "text.jpg": b"this is not a photo\n" * 20,
        "empty.png": b"",
        "header.png": b"\x89PNG\r\n\x1a\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    Image.new("L", (20000, 6000)).save(tmp_path / "bomb.png")
    (tmp_path / "folder.jpg").mkdir()
    assert code_of(tmp_path / "half.jpg") == "image_truncated"
    for name in ("text.jpg", "empty.png", "header.png"):
        assert code_of(tmp_path / name) == "image_unreadable"
    assert code_of(tmp_path / "dot.png") == "image_too_small"
    assert code_of(tmp_path / "bomb.png") == "image_too_large"
    assert code_of(tmp_path / "folder.jpg") == "image_is_directory"
    assert code_of(tmp_path / "nothing.jpg") == "image_missing"
