"""Decoding of pictures to 8-bit pixels of one size."""

from __future__ import annotations

import io
import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from dlcli.config.schema import ImageFolderData

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "DIB")  # tried in this order
_SUFFIXES = (
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
_UNSUPPORTED = (  # suffixes of pictures that Pillow cannot read, or reads with the help of other programs
    *(".arw", ".cr2", ".cr3", ".dcm", ".dng", ".emf", ".eps", ".heic", ".heif", ".ico", ".jxl"),
    *(".jxr", ".nef", ".orf", ".pcx", ".psd", ".raf", ".svg", ".tga", ".wmf"),
)
_SCALED_TO_16_BITS = ("JPEG2000", "PNG", "PPM")  # formats whose 16-bit pixels Pillow may return as 32-bit integers
_DEPTH = 24  # position of the bits per sample in a PNG file
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF

Pixels = NDArray[np.uint8]


class NotAPictureError(ValueError):
    """Error for a file that is not a picture and does not have the suffix of one."""


@contextmanager
def decoding() -> Iterator[None]:
    """Load Pillow's formats and silence its warnings; a picture that is too large becomes an error.

    Formats, warning filters and log levels are global to the process: enter this once, around all decoding threads.
    """
    Image.init()
    logger = logging.getLogger("PIL")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        logger.setLevel(level)


def open_picture(file: BinaryIO) -> Image.Image:
    """Open a picture in one of the supported formats without reading its pixels.

    Raises:
        Exception: Nearly any exception, if the file is damaged or not a picture.
    """
    return Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return the height and width of a picture after its EXIF orientation is applied."""
    is_turned = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    return image.size if is_turned else image.size[::-1]


def decode_picture(content: bytes, name: str, config: ImageFolderData) -> Pixels:
    """Return the pixels of a picture, upright, as bytes of shape (channels, height, width).

    Uses the first frame of an animation. 16-bit pixels are scaled to 8 bits; transparent pixels show the background.

    Args:
        content: Content of the file.
        name: Name of the file.
        config: Data section with the size, the colours and the treatment of other aspect ratios.

    Raises:
        NotAPictureError: If the file is not a picture and does not have the suffix of one.
        ValueError: If the picture cannot be read; the message is the reason.
    """
    try:
        with open_picture(io.BytesIO(content)) as image:
            if image.format == "PNG":
                _check_sums(content)
                _correct_transparency(image, content)
            ImageOps.exif_transpose(image, in_place=True)
            picture = _flatten(_to_eight_bits(image), config)
            return _to_array(_resize(picture, config))
    except UnidentifiedImageError as error:
        raise _explain_unidentified(content, name) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller") from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can raise nearly any exception in Pillow
        raise ValueError(f"damaged, or in a form that cannot be read ({str(error) or type(error).__name__})") from error


def _explain_unidentified(content: bytes, name: str) -> ValueError:
    suffix = PurePath(name).suffix.lower()
    if suffix in _UNSUPPORTED:
        return ValueError(f"{suffix[1:].upper()} is not supported; convert it to PNG or JPEG")
    if suffix not in _SUFFIXES:
        return NotAPictureError("not a picture")
    return ValueError("not a picture, or damaged at the start" if content else "empty file")


def _check_sums(content: bytes) -> None:
    """Check the CRC-32 of every chunk of a PNG file; Pillow does not check chunks of pixels.

    Raises:
        ValueError: If a checksum differs.
    """
    start, end = 8, len(content)  # the signature takes 8 bytes
    while start + 12 <= end:
        length = int.from_bytes(content[start : start + 4], "big")
        stop = start + 8 + length
        if zlib.crc32(content[start + 4 : stop]) != int.from_bytes(content[stop : stop + 4], "big"):
            raise ValueError("a checksum differs")
        if content[start + 4 : start + 8] == b"IEND":
            return
        start = stop + 4


def _correct_transparency(image: Image.Image, content: bytes) -> None:
    """Correct the transparent colour of a PNG file, since Pillow converts the pixels to 8 bits but not this colour."""
    color, depth = image.info.get("transparency"), content[_DEPTH]
    if image.mode == "RGB" and depth == 16 and isinstance(color, tuple):
        del image.info["transparency"]
        image.putalpha(_opacity(image, content, color))
    elif image.mode == "L" and depth < 8 and isinstance(color, int):
        image.info["transparency"] = color * 255 // (2**depth - 1)


def _opacity(image: Image.Image, content: bytes, transparent: tuple[int, ...]) -> Image.Image:
    """Return the opacity of a 16-bit picture: 0 where a pixel has the transparent color, 255 elsewhere.

    Pillow keeps the upper 8 bits of each channel, so the lower 8 are read from the file.
    """
    with open_picture(io.BytesIO(content)) as lower:
        assert isinstance(lower, ImageFile.ImageFile)
        lower.tile = [tile._replace(args="RGB;16L") for tile in lower.tile]  # swaps the bytes to keep the lower 8
        values = np.asarray(image).astype(np.uint16) * 256 + np.asarray(lower)
    return Image.fromarray((values != transparent).any(-1).astype(np.uint8) * 255)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Return a picture with 8 bits per channel.

    Raises:
        ValueError: If its pixels are 32-bit numbers, which have no fixed range.
    """
    if image.mode in ("I", "F") and image.format not in _SCALED_TO_16_BITS:
        raise ValueError("its pixels are 32-bit or signed numbers, without a fixed range; convert it to 8 or 16 bits")
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    tags = getattr(image, "tag_v2", {})  # TIFF only
    largest = 2 ** tags.get(_BITS_PER_SAMPLE, (16,))[0] - 1
    values = np.asarray(image).astype(np.uint32)
    if tags.get(_PHOTOMETRIC) == 0:  # 0 is white
        values = largest - values
    gray = Image.fromarray(((values * 255 + largest // 2) // largest).astype(np.uint8))
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return gray
    opacity = Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))
    return Image.merge("LA", (gray, opacity))


def _flatten(image: Image.Image, config: ImageFolderData) -> Image.Image:
    """Return a picture as L or RGB, with the background where it is transparent."""
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", picture.size, config.background), picture)
    mode = "L" if config.color_mode == "grayscale" else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _resize(image: Image.Image, config: ImageFolderData) -> Image.Image:
    """Return a picture of the size in the config; bilinear, with antialiasing where it gets smaller."""
    height, width = config.size
    if image.size == (width, height):
        return image
    if config.resize == "stretch":
        return image.resize((width, height), Image.Resampling.BILINEAR)
    if config.resize == "crop":
        return ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    scale = min(width / image.width, height / image.height)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    padded = Image.new("RGB", (width, height), config.background).convert(image.mode)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    padded.paste(image.resize(inner, Image.Resampling.BILINEAR), (left, top))
    return padded


def _to_array(image: Image.Image) -> Pixels:
    pixels = np.asarray(image)
    return pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
