"""docs/plain_torch.md: its example predicts what dlcli predicts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from conftest import CHECKOUT

import dlcli


def test_the_example_gives_the_predictions_of_dlcli(clean_place: Path) -> None:
    run = dlcli.open_run(dlcli.train("digits", {"training.epochs": 2, "plots": "never"}, run_dir="runs/digits").run)
    (code,) = re.findall(
        r"^```python\n(.*?)^```$", (CHECKOUT / "docs" / "plain_torch.md").read_text(), re.DOTALL | re.M
    )
    assert "dlcli" not in code
    values: dict[str, Any] = {}
    exec(code, values)
    predicted = run.predictor.predict(values["pixels"])
    assert torch.allclose(values["probabilities"].double(), torch.from_numpy(predicted.values), atol=1e-6)
