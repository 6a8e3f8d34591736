"""The configs that come with dlcli."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path


def presets() -> dict[str, Traversable]:
    """Return the configs that come with dlcli, by name."""
    folder = resources.files("dlcli") / "presets"  # where the wheel has them
    if not folder.is_dir():
        folder = Path(__file__).parents[2] / "configs"  # where a checkout has them
    files = (entry for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return {entry.name.removesuffix(".yaml"): entry for entry in sorted(files, key=lambda entry: entry.name)}


def preset_summary(text: str) -> str:
    """Return the first line of a preset's header: what it is."""
    return text.split("\n", 1)[0].lstrip("# ")
