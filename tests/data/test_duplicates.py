"""Copies of training examples and contradictions, compared with a comparison of all pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dlcli.config.load import load_config
from dlcli.data import duplicates
from dlcli.data.duplicates import find_duplicates, is_coarse
from dlcli.data.make_splits import make_splits
from dlcli.data.scaling import Scaling
from dlcli.data.sources import SOURCES
from dlcli.data.splits import DataInfo, Split, Splits

INFO = DataInfo("csv", "classification", 3, 3)


def splits_of(train_rows: Any, val_rows: Any, test_rows: Any) -> Any:
    parts = [torch.tensor(rows, dtype=torch.float32) for rows in (train_rows, val_rows, test_rows)]
    return Splits(
        INFO, *(Split(rows[:, :-1], rows[:, -1].long()) for rows in parts), Scaling.identity(), Scaling.identity()
    )


def test_overlaps_match_a_comparison_of_all_pairs_of_rows() -> None:
    rows = np.random.default_rng(0).integers(0, 3, (60, 4))  # the last column is the label
    val, test = find_duplicates(splits_of(rows[:30], rows[30:40], rows[40:])).overlaps
    for overlap, split_rows in ((val, rows[30:40]), (test, rows[40:])):
        duplicates = [
            [train_row for train_row in rows[:30] if (train_row[:-1] == row[:-1]).all()] for row in split_rows
        ]
        agree = [
            any(match[-1] == row[-1] for match in matches) for matches, row in zip(duplicates, split_rows, strict=True)
        ]
        assert (overlap.examples, overlap.copies) == (len(split_rows), sum(map(bool, duplicates)))
        assert overlap.same_label == sum(agree)
        assert 0 < overlap.same_label < overlap.copies


def test_equal_inputs_are_expected_if_few_values_are_possible() -> None:
    generator = torch.Generator().manual_seed(0)
    answers = torch.randint(2, (500, 3), generator=generator).float()
    labels = torch.zeros(500)
    assert is_coarse(Split(answers, labels))
    assert not is_coarse(Split(torch.randint(2, (500, 30), generator=generator).float(), labels))
    assert not is_coarse(Split(torch.randn(250, 1, generator=generator).repeat(2, 1), labels))


def test_fashion_mnist_has_no_copies(fashion_root: Path) -> None:
    config = load_config("fashion_mnist", [f"data.root={fashion_root}"]).config
    overlaps = find_duplicates(make_splits(SOURCES["fashion_mnist"](config.data), config.data, 0)).overlaps
    assert [(overlap.examples, overlap.copies) for overlap in overlaps] == [(6000, 0), (10_000, 0)]


def test_contradictions_match_a_comparison_of_all_pairs_of_rows() -> None:
    rows = np.random.default_rng(1).integers(0, 3, (60, 4))
    counted = sum(any((a[:-1] == b[:-1]).all() and a[-1] != b[-1] for b in rows[:50]) for a in rows[:50])
    assert find_duplicates(splits_of(rows[:40], rows[40:50], rows[50:])).contradictions == counted > 0


def test_equal_hashes_of_different_rows_are_no_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(2).integers(0, 3, (60, 4))
    splits = splits_of(rows[:40], rows[40:50], rows[50:])
    expected = find_duplicates(splits)
    monkeypatch.setattr(duplicates, "_hash_rows", lambda values: (values[:, 0] > 1).astype(np.uint64))
    found = find_duplicates(splits)
    assert all(a.copies <= b.copies for a, b in zip(found.overlaps, expected.overlaps, strict=True))
    assert found.contradictions <= expected.contradictions


def test_inputs_are_compared_as_numbers() -> None:
    splits = splits_of([[0.0, 1, 0], [2.0, 1, 1]], [[-0.0, 1, 0]], [[2.0, 1.5, 1], [2.0, 1, 0]])
    assert [(overlap.copies, overlap.same_label) for overlap in find_duplicates(splits).overlaps] == [(1, 1), (1, 0)]
