"""Presets: the configs that are shipped with dlcli."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path


def presets() -> dict[str, Traversable]:
    """Return the presets by name."""
    folder = resources.files("dlcli") / "presets"  # in an installed wheel
    if not folder.is_dir():
        folder = Path(__file__).parents[2] / "configs"  # in a source checkout
    files = (entry for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return {entry.name.removesuffix(".yaml"): entry for entry in sorted(files, key=lambda entry: entry.name)}


def preset_summary(text: str) -> str:
    """Return the summary of a preset: the first line of its header."""
    return text.split("\n", 1)[0].lstrip("# ")
