from __future__ import annotations

import pytest

from dlcli import api
from dlcli.config.load import load_config


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("none", "64 features, 0 to 16 (normalize none)"),
        ("unit", "64 features, 0 to 1 (normalize unit)"),
        ("standard", "64 features, -0.812 to 1.84 (normalize standard)"),
    ],
)
def test_the_plan_tells_the_range_of_what_the_model_is_given(how: str, line: str) -> None:
    planned = api.plan(load_config("digits", [f"data.normalize={how}"]))
    assert dict(planned.essentials)["inputs"] == line
