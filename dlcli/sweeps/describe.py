"""Texts about the settings of trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlcli.config.sweep.nodes import canonical_json


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Return overrides as they are typed, with shortened numbers."""
    return " ".join(f"{key}={canonical_json(_shortened(value))}" for key, value in settings.items())


def _shortened(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    return value
