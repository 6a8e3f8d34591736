from __future__ import annotations

import torch

from dlcli.verification.differences import compare_rows, compare_tensors

ROW = {"epoch": 1, "val/loss": 0.1, "val/r2": float("nan"), "epoch_seconds": 1.0}


def test_rows_are_compared_bit_by_bit_except_times() -> None:
    later = {**ROW, "epoch_seconds": 2.0}
    assert compare_rows([ROW], [later], besides=("epoch_seconds",)) == []
    nearly = {**ROW, "val/loss": 0.1 + 2**-56}
    (difference,) = compare_rows([ROW], [nearly], besides=())
    assert difference == "epoch 1: val/loss was 0.1, is now 0.10000000000000002"
    assert compare_rows([ROW], [], besides=()) == ["1 epochs originally, 0 now"]


def test_many_differences_are_counted() -> None:
    rows = [{"epoch": epoch, "x": 0.0} for epoch in range(1, 10)]
    differences = compare_rows(rows, [{**row, "x": 1.0} for row in rows], besides=())
    assert (len(differences), differences[-1]) == (6, "and 4 more epochs")


def test_tensors_are_compared_bit_by_bit() -> None:
    first = {"a": torch.zeros(3), "b": torch.ones(2)}
    assert compare_tensors("best", first, {name: value.clone() for name, value in first.items()}) == []
    second = {"a": torch.tensor([0.0, 0.0, 1e-20]), "b": torch.ones(2)}
    assert compare_tensors("best", first, second) == ["best: 1 of 2 tensors differ, by at most 1e-20"]
    assert compare_tensors("best", first, {"a": first["a"]}) == ["best: the tensors have other names, shapes or types"]
