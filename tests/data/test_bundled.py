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


def test_data_sets_equal_those_of_scikit_learn() -> None:
    from sklearn import datasets

    digits, diabetes = load_both()
    for ours, theirs in ((digits, datasets.load_digits()), (diabetes, datasets.load_diabetes(scaled=False))):
        assert torch.equal(ours.train.inputs, torch.tensor(theirs.data).float())
        assert torch.equal(ours.train.targets.flatten().double(), torch.tensor(theirs.target).double())
    assert diabetes.info.feature_names == tuple(datasets.load_diabetes().feature_names)
    assert digits.train.targets.dtype == torch.int64


def test_scikit_learn_loads_the_data_if_its_files_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = load_both()
    monkeypatch.setattr(bundled, "_read_file", lambda *_: None)
    for ours, theirs in zip(direct, load_both(), strict=True):
        assert torch.equal(ours.train.inputs, theirs.train.inputs)
        assert torch.equal(ours.train.targets, theirs.train.targets)


def test_loading_does_not_import_scikit_learn() -> None:
    """A failure after a scikit-learn update means that its files changed and loading takes a second longer."""
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
