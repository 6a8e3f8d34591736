from __future__ import annotations

from functools import partial

import pytest
import torch

from dlcli.api import build_experiment
from dlcli.bench import matmul_floor as products
from dlcli.config.load import load_config


def test_the_products_of_a_step_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five products: forward and weight gradient in both layers, input gradient only in the second."""
    timed: list[str] = []

    def time_(call: partial[object], threads: int, _weight: torch.Tensor) -> float:
        call()
        timed.extend([call.func.__name__] if threads == 1 else [])
        return float(threads)  # so that one thread is fastest

    monkeypatch.setattr(products, "_best_seconds", time_)
    assert products.product_seconds(build_experiment(load_config("digits").config).model, 8) == 5.0
    assert timed == ["forward", "update", "forward", "update", "backward_input"]
