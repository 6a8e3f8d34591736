from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from dlcli.config.schema import DiabetesData, DigitsData
from dlcli.data import bundled
from dlcli.data.bundled import load_diabetes, load_digits
from dlcli.data.splits import RawData


def load_both() -> tuple[RawData, RawData]:
    return load_digits(DigitsData(name="digits")), load_diabetes(DiabetesData(name="diabetes"))


def test_the_sets_are_scikit_learns() -> None:
    from sklearn import datasets

    digits, diabetes = load_both()
    for ours, theirs in ((digits, datasets.load_digits()), (diabetes, datasets.load_diabetes(scaled=False))):
        assert torch.equal(ours.train.inputs, torch.tensor(theirs.data).float())
        assert torch.equal(ours.train.targets.flatten().double(), torch.tensor(theirs.target).double())
    assert diabetes.info.feature_names == tuple(datasets.load_diabetes().feature_names)
    assert digits.train.targets.dtype == torch.int64


def test_where_the_files_have_changed_scikit_learn_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = load_both()
    monkeypatch.setattr(bundled, "_read_file", lambda *_: None)
    for ours, theirs in zip(direct, load_both(), strict=True):
        assert torch.equal(ours.train.inputs, theirs.train.inputs)
        assert torch.equal(ours.train.targets, theirs.train.targets)


def test_scikit_learn_is_not_imported_for_its_data() -> None:
    """If this fails after an update of scikit-learn, its files have changed, and cost a second again."""
    code = """if True:
        import sys
        from dlcli.config.schema import DiabetesData, DigitsData
        from dlcli.data.bundled import load_diabetes, load_digits
        load_digits(DigitsData(name="digits"))
        load_diabetes(DiabetesData(name="diabetes"))
        print("sklearn" in sys.modules)
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
