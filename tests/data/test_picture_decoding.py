"""Decoding of pictures of all kinds to 8-bit pixels of one size."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from picture_files import GRAY, RGB, settings
from PIL import Image, ImageCms

from dlcli.data.pictures import decode_picture


def encode(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def decode(content: bytes, name: str = "a.png", **values: Any) -> np.ndarray:
    return decode_picture(content, name, settings(**values))


def decode_image(image: Image.Image, format_: str = "PNG", **values: Any) -> np.ndarray:
    return decode(encode(image, format_), **values)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP"])
def test_all_exif_orientations_give_the_upright_pixels(orientation: int, format_: str) -> None:
    transforms: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda x: x,
        lambda x: x[:, ::-1],
        lambda x: x[::-1, ::-1],
        lambda x: x[::-1],
        lambda x: x.swapaxes(0, 1),
        lambda x: np.rot90(x, 1),  # upright after a clockwise quarter turn
        lambda x: np.rot90(x, 2).swapaxes(0, 1),
        lambda x: np.rot90(x, 3),
    ]
    stored = np.ascontiguousarray(transforms[orientation - 1](RGB))
    exif = Image.Exif()
    exif[0x112] = orientation
    lossless = {"lossless": True} if format_ == "WEBP" else {}
    content = encode(Image.fromarray(stored), format_, exif=exif, **lossless)
    assert np.array_equal(decode(content, color_mode="rgb"), RGB.transpose(2, 0, 1))


def test_jpeg_is_turned_upright() -> None:
    upright = np.zeros((40, 60), np.uint8)
    upright[:20, :30] = 255
    exif = Image.Exif()
    exif[0x112] = 6
    content = encode(Image.fromarray(np.ascontiguousarray(np.rot90(upright))), "JPEG", exif=exif)
    decoded = decode(content, size=(40, 60))
    assert (decoded[0] > 128).tolist() == (upright > 128).tolist()


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_16_bit_gray_is_scaled_and_not_clipped(format_: str) -> None:
    values = np.array([[0, 1, 128, 129], [257, 12_850, 32_768, 40_000], [51_400, 65_279, 65_407, 65_535]], np.uint16)
    decoded = decode_image(Image.fromarray(values), format_)
    assert decoded.tolist() == [np.round(values / 257).astype(int).tolist()]


def png(depth: int, color_type: int, rows: list[bytes], width: int, transparent: bytes = b"") -> bytes:
    """Return a PNG file of a kind that Pillow does not write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), depth, color_type, 0, 0, 0))
    key = chunk(b"tRNS", transparent) if transparent else b""
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + header + key + pixels + chunk(b"IEND", b"")


def test_16_bit_colours_are_scaled() -> None:
    content = png(16, 2, [row.tobytes() for row in RGB.astype(">u2") * 257], width=4)
    assert np.array_equal(decode(content, color_mode="rgb"), RGB.transpose(2, 0, 1))


def test_the_transparent_colour_of_16_bit_colours_is_laid_on_the_background() -> None:
    values = (RGB.astype(np.uint16) * 257).astype(">u2")
    values[0, 0] = values[1, 2] + 1  # another colour, with the same upper 8 bits
    content = png(16, 2, [row.tobytes() for row in values], width=4, transparent=values[1, 2].tobytes())
    expected = np.where((values[1, 2] == values).all(2, keepdims=True), 255, values >> 8)
    assert np.array_equal(decode(content, color_mode="rgb", background="white"), expected.transpose(2, 0, 1))


@pytest.mark.parametrize(("depth", "row", "values"), [(2, b"\x1b", [0, 1, 2, 3]), (4, b"\x01\x5f", [0, 1, 5, 15])])
def test_the_transparent_grey_of_few_bits_is_laid_on_the_background(depth: int, row: bytes, values: list[int]) -> None:
    content = png(depth, 0, [row] * 3, width=4, transparent=b"\0\1")
    shades = [128 if value == 1 else value * 255 // (2**depth - 1) for value in values]
    assert decode(content, background="#808080").tolist() == [[shades] * 3]


@pytest.mark.parametrize("inverted", [False, True])
def test_white_is_zero_tiff_files_are_inverted(inverted: bool) -> None:
    image = Image.fromarray(GRAY.astype(np.uint16) * 257)
    content = encode(image, "TIFF", tiffinfo={262: 0} if inverted else {})
    photometric = Image.open(io.BytesIO(content)).tag_v2[262]  # type: ignore[attr-defined]
    expected = 255 - GRAY if photometric == 0 else GRAY
    assert np.array_equal(decode(content)[0], expected)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_pixels_are_refused(mode: str) -> None:
    content = encode(Image.fromarray(GRAY).convert(mode), "TIFF")
    with pytest.raises(ValueError, match="convert it to 8 or 16 bits"):
        decode(content)


@pytest.mark.parametrize(
    ("background", "gray", "rgb"),
    [("white", 255, (255, 255, 255)), ("black", 0, (0, 0, 0)), ("#ff0000", 76, (255, 0, 0))],
)
def test_transparent_pixels_show_the_background(background: str, gray: int, rgb: tuple[int, int, int]) -> None:
    opacity = np.full((3, 4), 255, np.uint8)
    opacity[0, 0] = 0
    image = Image.fromarray(np.dstack([RGB, opacity]))
    decoded = decode_image(image, color_mode="rgb", background=background)
    assert tuple(decoded[:, 0, 0]) == rgb
    assert np.array_equal(decoded[:, 1:], RGB.transpose(2, 0, 1)[:, 1:])
    assert decode_image(image, background=background)[0, 0, 0] == gray


def test_partly_transparent_pixels_are_mixed_with_the_background() -> None:
    image = Image.new("LA", (4, 3), (0, 128))
    assert set(decode_image(image, background="white").flatten()) <= {126, 127, 128}
    assert set(decode_image(image, background="black").flatten()) == {0}


@pytest.mark.parametrize("color_mode", ["grayscale", "rgb"])
def test_gray_with_alpha_keeps_opaque_values(color_mode: str) -> None:
    image = Image.merge("LA", (Image.fromarray(GRAY), Image.new("L", (4, 3), 255)))
    assert all(np.array_equal(channel, GRAY) for channel in decode_image(image, color_mode=color_mode))


def test_transparent_colour_of_gray_files_is_laid_on_the_background() -> None:
    for image in (Image.fromarray(GRAY), Image.fromarray(GRAY.astype(np.uint16) * 257)):
        key = 20 if image.mode == "L" else 20 * 257
        decoded = decode(encode(image, transparency=key), background="white")[0]
        assert np.array_equal(decoded, np.where(GRAY == 20, 255, GRAY)), image.mode


def test_palettes_give_their_colours() -> None:
    image = Image.new("P", (4, 3))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2, 1] * 3)
    decoded = decode_image(image, color_mode="rgb")
    assert decoded[:, 0].tolist() == [[255, 0, 0, 0], [0, 255, 0, 255], [0, 0, 255, 0]]
    transparent = decode(encode(image, transparency=bytes([0, 255, 255])), color_mode="rgb", background="#010203")
    assert transparent[:, 0, 0].tolist() == [1, 2, 3]


def test_cmyk_becomes_rgb() -> None:
    image = Image.new("CMYK", (4, 3), (0, 255, 255, 0))
    decoded = decode_image(image, "TIFF", color_mode="rgb")
    assert decoded[:, 0, 0].tolist() == [255, 0, 0]


def test_lab_is_refused_with_a_reason() -> None:
    lab = ImageCms.profileToProfile(
        Image.fromarray(RGB), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    with pytest.raises(ValueError, match="LAB"):
        decode_image(lab, "TIFF")


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "BMP", "PPM"])
def test_1_bit_becomes_black_and_white(format_: str) -> None:
    bits = GRAY > 100
    assert np.array_equal(decode_image(Image.fromarray(bits), format_)[0], bits * np.uint8(255))


@pytest.mark.parametrize("format_", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_an_animation_is_used(format_: str) -> None:
    frames = [Image.fromarray(RGB // 64 * 64), Image.new("RGB", (4, 3), "red")]
    lossless = {"lossless": True} if format_ == "WEBP" else {}
    content = encode(frames[0], format_, save_all=True, append_images=frames[1:], **lossless)
    assert np.array_equal(decode(content, color_mode="rgb"), np.asarray(frames[0]).transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
        ("PPM", {}),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "A.JPG", "no suffix"])
def test_lossless_formats_keep_every_pixel_whatever_the_name(format_: str, options: dict[str, Any], name: str) -> None:
    content = encode(Image.fromarray(RGB), format_, **options)
    assert np.array_equal(decode(content, name, color_mode="rgb"), RGB.transpose(2, 0, 1))


def test_colours_become_luminance() -> None:
    expected = np.round(RGB @ [0.299, 0.587, 0.114])
    assert np.abs(decode_image(Image.fromarray(RGB))[0] - expected).max() <= 1


@pytest.mark.parametrize("shape", [(3, 6), (6, 3), (1, 300), (300, 1), (40, 60), (2, 2)])
def test_pictures_of_another_shape_are_padded_cropped_or_stretched(shape: tuple[int, int]) -> None:
    image = Image.fromarray(np.full(shape, 100, np.uint8))
    for resize in ("crop", "stretch"):
        assert (decode_image(image, size=(4, 4), resize=resize) == 100).all()
    padded = decode_image(image, size=(4, 4), resize="pad", background="white")[0]
    content = np.argwhere(padded == 100)
    height, width = content.max(0) - content.min(0) + 1
    scale = 4 / max(shape)
    assert (height, width) == tuple(max(1, round(side * scale)) for side in shape)
    assert set(padded.flatten()) <= {100, 255}
    free = 4 - height, 4 - width
    assert tuple(content.min(0)) == (free[0] // 2, free[1] // 2), "centred"


def test_crop_cuts_equal_parts_off_both_sides() -> None:
    values = np.repeat(np.array([[10, 10, 200, 200, 200, 200, 60, 60]], np.uint8), 4, axis=0)
    assert (decode_image(Image.fromarray(values), size=(4, 4), resize="crop") == 200).all()


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
def test_truncated_files_are_refused(format_: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 50), np.uint8)
    content = encode(Image.fromarray(noise), format_)
    for length in (len(content) // 2, len(content) * 9 // 10, 20):
        with pytest.raises(ValueError, match="damaged"):
            decode(content[:length])


def test_every_flipped_byte_of_png_pixels_is_detected() -> None:
    content = bytearray(encode(Image.fromarray(GRAY)))
    for position in range(8, len(content)):
        content[position] ^= 1
        with pytest.raises(ValueError, match="damaged"):
            decode(bytes(content))
        content[position] ^= 1
