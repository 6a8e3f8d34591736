from __future__ import annotations

import torch

from dlcli.verification.compare import compare_rows, compare_tensors

ROW = {"epoch": 1, "val/loss": 0.1, "val/r2": float("nan"), "epoch_seconds": 1.0}


def test_rows_are_compared_to_the_last_bit_but_for_the_clock() -> None:
    later = {**ROW, "epoch_seconds": 2.0}
    assert compare_rows([ROW], [later], besides=("epoch_seconds",)) == []
    nearly = {**ROW, "val/loss": 0.1 + 2**-56}
    (told,) = compare_rows([ROW], [nearly], besides=())
    assert told == "epoch 1: val/loss 0.1 then, 0.10000000000000002 now"
    assert compare_rows([ROW], [], besides=()) == ["1 epochs then, 0 now"]


def test_many_differences_are_counted() -> None:
    rows = [{"epoch": epoch, "x": 0.0} for epoch in range(1, 10)]
    told = compare_rows(rows, [{**row, "x": 1.0} for row in rows], besides=())
    assert (len(told), told[-1]) == (6, "and 4 more epochs")


def test_tensors_are_compared_to_the_last_bit() -> None:
    then = {"a": torch.zeros(3), "b": torch.ones(2)}
    assert compare_tensors("best", then, {name: value.clone() for name, value in then.items()}) == []
    now = {"a": torch.tensor([0.0, 0.0, 1e-20]), "b": torch.ones(2)}
    assert compare_tensors("best", then, now) == ["best: 1 of 2 tensors differ, by 1e-20 at most"]
    assert compare_tensors("best", then, {"a": then["a"]}) == ["best: other tensors"]
