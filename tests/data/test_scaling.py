"""Scaling of columns with extreme numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dlcli.data.encoding import fit_column
from dlcli.data.scaling import RangeError, fit_scaling
from dlcli.data.split_encoding import encode_splits
from dlcli.data.tables.table import Column

VALUES = np.clip(np.random.default_rng(0).normal(size=60), -1, 1)


@pytest.mark.parametrize("exponent", [-1040, -560, 0, 660, 1023])
def test_extreme_columns_are_scaled_as_the_same_column_in_another_unit(exponent: int) -> None:
    column = torch.from_numpy(np.ldexp(VALUES, exponent)).reshape(-1, 1)
    scaled = fit_scaling(column, "standard", jointly=False).apply(column)
    assert torch.allclose(scaled, torch.from_numpy((VALUES - VALUES.mean()) / VALUES.std()).reshape(-1, 1), atol=1e-8)


def test_constant_columns_of_extreme_numbers_become_0() -> None:
    column = torch.tensor([[1e300, 1e-300, 0.0]] * 7, dtype=torch.float64)
    assert not fit_scaling(column, "standard", jointly=False).apply(column).any()


@pytest.mark.parametrize(("scale", "how"), [(1e39, "none"), (1e-60, "none"), (1.7e308, "unit")])
def test_a_column_outside_the_range_of_the_inputs_is_refused(scale: float, how: str) -> None:
    column, rows = Column("big", "number", VALUES * scale), np.arange(40)
    info = fit_column(column, rows, "mean", 1)
    with pytest.raises(RangeError) as caught:
        encode_splits([column], [info], [rows, np.arange(40, 60)], how, torch.float32)  # type: ignore[arg-type]
    assert caught.value.column == "big"
    assert abs(caught.value.value) == scale


def test_gaps_among_the_largest_numbers_are_filled_with_a_finite_value() -> None:
    column = Column("big", "number", np.array([1.7e308, 1.6e308, np.nan, 1.5e308, 1.4e308]))
    for how in ("mean", "median"):
        assert fit_column(column, np.arange(5), how, 1).fill == pytest.approx(1.55e308)
