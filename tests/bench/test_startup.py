from __future__ import annotations

from dlcli.bench.startup import measure_start_up


def test_start_up_phases_are_reported_in_order() -> None:
    phases = measure_start_up("digits", ["model.hidden_sizes=[4]"], rounds=1)
    assert list(phases) == [
        "Python",
        "import torch",
        "import dlcli",
        "config",
        "data and model",
        "first look at the loss",
    ]
    assert all(seconds > 0 for seconds in phases.values())
