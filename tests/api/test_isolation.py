"""Isolation of public functions: the config alone decides the result, and the caller's process is unchanged."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from inspect import isfunction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faults.outcome import outcome

import dlcli
from dlcli import api
from dlcli.errors import DataError, DivergedError
from dlcli.plots import importing

INPUTS, LABELS = np.arange(200.0).reshape(50, 4) % 7, np.arange(50) % 2
SETTINGS = ["training.epochs=2", "model={hidden_sizes: [9], dropout: 0.2}", "plots=never"]


def process_state() -> dict[str, Any]:
    """Return the process state that dlcli must not change."""
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": str(np.random.get_state()),
        "python": random.getstate(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "precision": [
            torch.backends.fp32_precision,
            torch.backends.mkldnn.matmul.fp32_precision,
            torch.backends.cuda.matmul.fp32_precision,
        ],
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "denormals": float(np.float64(1e-310) * np.float64(1.0)),
        "signals": {signum: signal.getsignal(signum) for signum in signal.valid_signals()},
        # When first imported, scikit-learn sets two KMP_ variables for its OpenMP, and polars one for its allocator.
        "environment": {name: value for name, value in os.environ.items() if not name.startswith(("KMP_", "_RJEM_"))},
        "folder": os.getcwd(),
    }


@contextmanager
def set_and_restored(setter: Callable[[Any], object], value: Any, before: Any) -> Iterator[None]:
    setter(value)
    try:
        yield
    finally:
        setter(before)


def matmul_precision(value: str) -> None:
    torch.backends.mkldnn.matmul.fp32_precision = value


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "plain": nullcontext,
    "default dtype float64": lambda: set_and_restored(torch.set_default_dtype, torch.float64, torch.float32),
    "default dtype bfloat16": lambda: set_and_restored(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "default device": lambda: set_and_restored(torch.set_default_device, "meta", None),
    "device context": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "one thread": lambda: set_and_restored(torch.set_num_threads, 1, torch.get_num_threads()),
    "five threads": lambda: set_and_restored(torch.set_num_threads, 5, torch.get_num_threads()),
    "rounded products": lambda: set_and_restored(matmul_precision, "bf16", "none"),
    "denormals flushed": lambda: set_and_restored(torch.set_flush_denormal, True, False),
    "seeds": lambda: set_and_restored(torch.manual_seed, 77, 0),
    "deterministic": lambda: set_and_restored(torch.use_deterministic_algorithms, True, False),
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("expected")
    for step in ("eager", "manual"):
        dlcli.train(dlcli.load_config("digits", [*SETTINGS, f"training.step={step}"]), run_dir=folder / step)
    return {step: outcome(folder / step) for step in ("eager", "manual")}


@pytest.mark.parametrize("step", ["eager", "manual"])
@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_torch_settings_of_the_caller_do_not_change_the_run_and_are_restored(
    clean_place: Path, expected: dict[str, dict[str, Any]], surroundings: str, step: str
) -> None:
    loaded = dlcli.load_config("digits", [*SETTINGS, f"training.step={step}"])
    with SURROUNDINGS[surroundings]():
        before = process_state()
        result = dlcli.train(loaded, run_dir=clean_place / "run")
        metrics = dlcli.evaluate(result.run, split="val").metrics
        assert process_state() == before
    assert outcome(clean_place / "run") == expected[step]
    assert metrics["loss"] == result.val["loss"]


@pytest.mark.parametrize("seed", [11, 77])
def test_training_does_not_change_the_random_numbers_of_the_caller(clean_place: Path, seed: int) -> None:
    torch.manual_seed(seed)
    expected = torch.rand(3)
    torch.manual_seed(seed)
    dlcli.train(dlcli.load_config("digits", SETTINGS), run_dir=clean_place / "run")
    assert torch.equal(torch.rand(3), expected)


def test_a_listener_that_changes_torch_settings_does_not_change_the_run(
    clean_place: Path, expected: dict[str, dict[str, Any]]
) -> None:
    from dlcli.training.listeners import Listeners

    def draw(_: object) -> None:
        torch.manual_seed(5)
        torch.set_num_threads(3)
        torch.set_default_dtype(torch.float64)

    loaded = dlcli.load_config("digits", [*SETTINGS, "training.step=manual"])
    before = torch.get_num_threads()
    dlcli.train(loaded, run_dir=clean_place / "run", listeners=Listeners(draw))
    assert outcome(clean_place / "run") == expected["manual"]
    assert (torch.get_default_dtype(), torch.get_num_threads()) == (torch.float32, before)


SWEEP = {
    "extends": "digits",
    "name": "config",
    "training": {"epochs": 1},
    "sweep": {"space": {"optimizer.lr": [0.1, 0.2]}, "trials": 2, "confirm_seeds": 2},
}


def calls(run: str, folder: Path) -> dict[str, Callable[[], object]]:
    loaded = dlcli.load_config("digits", [*SETTINGS, "training.epochs=1"])
    small = dlcli.load_config("digits", ["model.hidden_sizes=[3]"])
    inputs, group = folder / "new.npz", folder / "group"
    np.savez(inputs, inputs=np.zeros((3, 8, 8)), targets=np.array([0, 1, 2]))
    has_onnx = importlib.util.find_spec("onnxruntime") is not None  # in the extra `export`
    return {
        "bench": lambda: api.bench("digits", ["model.hidden_sizes=[3]"], rounds=1),
        "compare_figure": lambda: api.compare_figure([run, run], folder / "compare.png"),
        "compare_page": lambda: api.compare_page([run, run], folder / "compare.html"),
        "compare_seeds_figure": lambda: [
            api.train_seeds(loaded, seeds=2, run_dir=group),
            api.compare_seeds_figure(group, group, folder / "seeds.png"),
        ],
        "compare_seeds_page": lambda: api.compare_seeds_page(group, group, folder / "seeds.html"),
        "diagnose": lambda: api.diagnose(run),
        "draw": lambda: api.draw(run, ["loss"]),
        "evaluate": lambda: api.evaluate(run, baselines=False),
        "evaluate_data": lambda: api.evaluate_data(run, inputs),
        "explain": lambda: api.explain(small),
        "export": lambda: [api.export(run, name) for name in ("torch", "safetensors", *["onnx"] * has_onnx)],
        "gradcheck": lambda: api.gradcheck(small),
        "list_pictures": lambda: api.list_pictures(run),
        "load": lambda: (api.load(run).predict(np.zeros((2, 64))), api.load(run).evaluate(inputs)),
        "load_config": lambda: api.load_config("digits", SETTINGS),
        "open_run": lambda: api.open_run(run).evaluate(baselines=False),
        "plan": lambda: api.plan(loaded),
        "plan_seeds": lambda: api.plan_seeds(loaded, seeds=2),
        "predict": lambda: api.predict(run),
        "predict_input": lambda: list(api.predict_input(run, inputs).parts()),
        "report": lambda: api.report(run),
        "report_seeds": lambda: api.report_seeds(group),
        "resume": lambda: api.resume(run),
        "sweep": lambda: api.sweep(SWEEP),
        "resume_sweep": lambda: api.resume_sweep("config", {"sweep.trials": 3}),
        "show_sweep": lambda: api.show_sweep("config"),
        "report_sweep": lambda: api.report_sweep("config", folder / "sweep.html"),
        "build_experiment": lambda: api.build_experiment(loaded.config),
        "study": None,  # type: ignore[dict-item]  # takes a minute; training is covered above
        "train": lambda: [
            api.train(loaded, run_dir=folder / "train", evaluate_test=True),
            api.train({"plots": "always"}, {"training.epochs": 1}, data=(INPUTS, LABELS), run_dir=folder / "arrays"),
        ],
        "train_seeds": lambda: api.train_seeds(loaded, seeds=2, run_dir=folder / "seeds"),
        "resume_seeds": lambda: api.resume_seeds(folder / "seeds", evaluate_test=True),
        "verify": lambda: api.verify(run),
    }


def test_every_public_function_restores_the_process_state(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(importing._process, "is_own", False)  # an earlier test may have run the command line
    run = dlcli.train(dlcli.load_config("digits", SETTINGS), run_dir=clean_place / "run").run
    functions = {name for name in api.__all__ if name[0].islower()}
    assert functions | {"__version__"} >= set(dlcli.__all__), "all are imported from dlcli.api"
    assert set(calls(run, clean_place)) == functions, "a new function needs a call"
    is_missing = importlib.util.find_spec("optuna") is None  # in the extra `sweep`
    for name, call in calls(run, clean_place).items():
        if is_missing and "sweep" in name:
            continue
        assert hasattr(getattr(api, name), "__wrapped__"), name
        if call is not None:
            before = process_state()
            call()
            assert process_state() == before, name


def test_every_method_of_an_open_run_restores_the_process_state(clean_place: Path) -> None:
    run = api.open_run(dlcli.train("digits", SETTINGS, run_dir=clean_place / "run"))
    options: dict[str, dict[str, Any]] = {
        "diagnose": {},
        "evaluate": {"baselines": False},
        "export": {"format": "torch"},
        "plot": {"names": ["loss"]},
        "predict": {},
        "report": {},
        "verify": {},
    }
    own = {name for name, value in vars(api.OpenRun).items() if isfunction(value) and not name.startswith("_")}
    assert set(options) == own, "a new method needs a call"
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(11)
        for name, arguments in options.items():
            before = process_state()
            getattr(run, name)(**arguments)
            assert process_state() == before, name
        before = process_state()
        run.predictor.predict([[0] * 64])
        run.predictor.export("safetensors")
        assert (process_state(), bool(run._repr_html_())) == (before, True)


def test_the_process_state_is_restored_after_an_exception(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLCLI_RUNS", str(clean_place / "runs"))
    before = process_state()
    with pytest.raises(DataError):
        dlcli.train(dlcli.load_config("fashion_mnist", [f"data.root={clean_place}"]))
    with pytest.raises(DivergedError):
        dlcli.train(dlcli.load_config("digits", ["optimizer.lr=1e17", "model.activation=relu"]))
    assert process_state() == before
