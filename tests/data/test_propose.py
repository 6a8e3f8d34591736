"""Proposed configs: each trains as it is, and data that cannot train gives an error with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from dlcli.config.load import load_config
from dlcli.data.propose import propose_config
from dlcli.data.sources import load_splits
from dlcli.errors import DataError


def propose(lines: Iterable[str], target: str = "y") -> str:
    Path("t.csv").write_text("\n".join(lines) + "\n")
    text = propose_config("t.csv", target, None, Path()).text
    Path("t.yaml").write_text(text)
    return text


def load_proposed() -> list[int]:
    """Return the number of examples of the splits of the proposed config."""
    splits = load_splits(load_config(Path("t.yaml")).config)
    return [len(splits.train), len(splits.val), len(splits.test)]


def test_a_missing_file_is_named_with_the_nearest_name(clean_place: Path) -> None:
    Path("data").mkdir()
    Path("data/weather.csv").touch()
    for path, hint in (
        ("data/weathr.csv", "did you mean data/weather.csv?"),
        ("data/x.parquet", f"check the name: nothing like it is in {clean_place / 'data'}"),
        ("nowhere/x.csv", "check the folder: nowhere cannot be listed"),
    ):
        with pytest.raises(DataError, match="does not exist") as error:
            propose_config(path, "y", None, Path())
        assert (error.value.message, error.value.hint) == (f"{path} does not exist", hint)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["y", *"ab" * 30], "has no column to predict 'y' from"),
        (["d,y", *(f"2024-01-{i + 1:02},{'ab'[i % 2]}" for i in range(30))], r"these cannot be used: d \(dates\)"),
        (["x,y", "1.5,a", "2.5,b"], "2 examples are too few for a test split"),
        (["x,y", *(f"{i * i}.5,{'ab'[i % 2]}" for i in range(8))], "are too few for a validation split"),
        (["x,y", *(f"{i * i}.5,a" for i in range(30))], "t.csv: column 'y' has a single value"),
        (["x,y", *(f"{i * i}.5," for i in range(30)), ",3"], "has no value in a row without gaps"),
    ],
)
def test_data_that_cannot_train_is_refused(lines: list[str], message: str, clean_place: Path) -> None:
    with pytest.raises(DataError, match=message):
        propose(lines)


def test_whole_numbers_with_few_examples_each_are_quantities(clean_place: Path) -> None:
    assert "task: regression" in propose(["x,y", *(f"{i * i}.5,{i % 16}" for i in range(20))])
    assert load_proposed() == [14, 2, 4]
    assert "task: classification" in propose(["x,y", *(f"{i * i}.5,{i % 3}" for i in range(60))])


def test_a_column_of_splits_is_used_as_such(clean_place: Path) -> None:
    parts = ["Train"] * 40 + ["test"] * 10
    text = propose(["x,part,y", *(f"{i * i}.5,{part},{'ab'[i % 2]}" for i, part in enumerate(parts))])
    assert "  split: part" in text
    assert "# 36 examples" in text
    assert load_proposed() == [36, 4, 10]
