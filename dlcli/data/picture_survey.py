"""Sizes and colours of the files of a picture folder, from their headers and a sample of their pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from dlcli.config.paths import open_regular
from dlcli.data.class_folders import File

_MOST_FILES = 5_000  # files to survey, evenly spaced; reading a header takes 0.1 ms
_DECODED = 100
_LARGEST = 64  # pixels per side; a larger picture has too many inputs for a fully connected network
_SCALED = 32


@dataclass
class PictureSurvey:
    """Number of pictures by size, (height, width), and by Pillow's mode, and whether any picture has colours."""

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    is_colored: bool = False

    def choose_size(self) -> tuple[tuple[int, int], str]:
        """Return a size for the inputs, (height, width), and the reason."""
        if len(self.sizes) != 1:
            heights, widths = zip(*self.sizes, strict=True) if self.sizes else ((_SCALED,), (_SCALED,))
            sides = f"{min(heights)}×{min(widths)} to {max(heights)}×{max(widths)}"
            return (_SCALED, _SCALED), f"the pictures have {len(self.sizes):,} sizes, {sides}"
        ((height, width),) = self.sizes
        if max(height, width) <= _LARGEST:
            return (height, width), "the size of the pictures"
        scale = _SCALED / max(height, width)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        return size, f"smaller than the pictures of {height}×{width}, for fewer inputs"

    def choose_color_mode(self) -> tuple[str, str]:
        """Return the colour mode for the inputs, and the reason."""
        modes = ", ".join(f"{mode} {n:,}" for mode, n in self.modes.most_common())
        return ("rgb", f"there are colours ({modes})") if self.is_colored else ("grayscale", f"no colours ({modes})")


def survey_pictures(files: Sequence[File]) -> PictureSurvey:
    """Return sizes and modes of the pictures among the files; files that cannot be read are left out."""
    from dlcli.data.pictures import decoding, open_picture, upright_size

    survey, step = PictureSurvey(), max(1, -(-len(files) // _MOST_FILES))
    chosen = files[::step]
    decoded = max(1, -(-len(chosen) // _DECODED))
    with decoding():
        for i, file in enumerate(chosen):
            # A damaged file can raise nearly any exception in Pillow; it is reported when it is read.
            with suppress(Exception), open_regular(file.path) as opened, open_picture(opened) as image:
                survey.sizes[upright_size(image)] += 1
                survey.modes[image.mode] += 1
                if i % decoded == 0 and not survey.is_colored:
                    survey.is_colored = _is_colored(image)
    return survey


def _is_colored(image: object) -> bool:
    """Return whether red, green and blue differ in a picture."""
    from PIL import Image

    assert isinstance(image, Image.Image)
    pixels = np.asarray(image.convert("RGBA").convert("RGB")).astype(np.int16)
    return bool((np.ptp(pixels, axis=2) > 8).any())  # tolerance, because JPEG rounds greys
