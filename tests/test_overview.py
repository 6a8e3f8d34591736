from __future__ import annotations

import pytest

from dlcli import api
from dlcli.config.load import load_config


@pytest.mark.parametrize(
    ("normalize", "line"),
    [
        ("none", "64 features, 0 to 16 (normalize none)"),
        ("unit", "64 features, 0 to 1 (normalize unit)"),
        ("symmetric", "64 features, -1 to 1 (normalize symmetric)"),
        ("standard", "64 features, -0.812 to 1.84 (normalize standard)"),
    ],
)
def test_overview_shows_the_range_of_the_preprocessed_inputs(normalize: str, line: str) -> None:
    planned = api.plan(load_config("digits", [f"data.normalize={normalize}"]))
    assert dict(planned.essentials)["inputs"] == line
