from __future__ import annotations

from functools import partial

import pytest
import torch

from dlcli.api import set_up
from dlcli.bench import matmul_floor as products
from dlcli.config.load import load_config


def test_the_products_are_those_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and for the weights in both layers, for the inputs in the second alone: five."""
    timed: list[str] = []

    def time_(call: partial[object], threads: int, _weight: torch.Tensor) -> float:
        call()
        timed.extend([call.func.__name__] if threads == 1 else [])
        return float(threads)  # one thread is the faster one

    monkeypatch.setattr(products, "_best_seconds", time_)
    assert products.product_seconds(set_up(load_config("digits").config).model, 8) == 5.0
    assert timed == ["forward", "learn", "forward", "learn", "pull_back"]
