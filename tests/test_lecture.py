"""docs/lecture.md: its commands print the shown output, and its rows agree with independent formulas.

Other rows are tested next to their code: 4 in test_parity, 5 and 18 in lecture/test_gradcheck, 6 in
lecture/test_gradcheck and training/fast/test_backprop, 7 in test_three_loops, 8 in data/test_fashion_mnist,
12 and 15 in test_task and studies, 14 in evaluation/test_classification, 16 in lecture/test_explanation, 19
in training/fast/test_backprop and test_parity.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CHECKOUT, Finished

from dlcli.api import build_experiment, evaluate, predict, train
from dlcli.config.load import load_config
from dlcli.evaluation.classification import classification_metrics
from dlcli.runs.log import read_traces
from dlcli.runs.run import open_run
from dlcli.runs.trained_run import load_trained_run

PAGE = CHECKOUT / "docs" / "lecture.md"
PICTURES = CHECKOUT / "docs" / "lecture"
Dlcli = Callable[..., Finished]
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
WHEN = re.compile(r"epoch \d+|\d+(?:\.\d+)? m?s\b")  # the best epoch depends on last digits, a duration on the machine
BLOCK = re.compile(r"^```\n(\$ .*?)^```$", flags=re.DOTALL | re.MULTILINE)
TAKES_LONG, NEEDS_FASHION_MNIST = "dlcli study", ("fashion_mnist", "runs/clothes")


def run(command: str, folder: Path) -> str:
    """Return the stdout of a command."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def printed(block: str, folder: Path, dlcli: Dlcli) -> str:
    """Return a block with the current output of its commands."""
    commands = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    outputs = []
    for command in commands:
        if "|" in command or not command.startswith("dlcli "):
            outputs.append(run(command, folder))
        else:  # in this process, because each new one imports torch
            done = dlcli(*shlex.split(command)[1:])
            assert done.code == 0, (command, done.err)
            outputs.append(done.out)
    return "".join(f"$ {command}\n{output}" for command, output in zip(commands, outputs, strict=True))


def assert_similar(shown: str, now: str) -> None:
    """Compare texts exactly and numbers approximately, because last digits differ between machines."""
    shown, now = (WHEN.sub("WHEN", text).replace("█", "") for text in (shown, now))
    assert NUMBER.sub("#", shown).split() == NUMBER.sub("#", now).split()
    for before, after in zip(NUMBER.findall(shown), NUMBER.findall(now), strict=True):
        expected, actual = (float(text.replace(",", "").replace("−", "-")) for text in (before, after))
        is_rounding_error = max(abs(expected), abs(actual)) < 1e-3
        assert is_rounding_error or math.isclose(expected, actual, rel_tol=0.25, abs_tol=0.05), (before, after, now)


@pytest.fixture
def place(clean_place: Path) -> Path:
    (clean_place / "three_loops.py").symlink_to(CHECKOUT / "docs" / "three_loops.py")
    return clean_place


def check(place: Path, dlcli: Dlcli, skipped: tuple[str, ...]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    fresh = text
    for block in BLOCK.findall(text):
        if any(word in block for word in skipped):
            continue
        now = printed(block, place, dlcli)
        fresh = fresh.replace(block, now)
        if "DLCLI_UPDATE_SNAPSHOTS" not in os.environ:
            assert_similar(block, now)
    if "DLCLI_UPDATE_SNAPSHOTS" in os.environ:
        PAGE.write_text(fresh, encoding="utf-8")
        for picture in place.glob("runs/*/plots/*.png"):
            if (PICTURES / picture.name).exists():  # slow runs draw more pictures than the page shows
                shutil.copy(picture, PICTURES / picture.name)
        for figure in place.glob("studies/*/figure.png"):
            shutil.copy(figure, PICTURES / f"{figure.parent.name}.png")


def test_every_row_has_a_command() -> None:
    sections = re.split(r"^## (\d+)\. .*$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    rows = dict(zip(map(int, sections[::2]), sections[1::2], strict=True))
    assert list(rows) == list(range(1, 20))
    assert all(BLOCK.search(section) for section in rows.values())


def test_the_picture_folder_holds_exactly_the_shown_pictures() -> None:
    shown = re.findall(r"!\[[^]]{20,}\]\(lecture/(.*?)\)", PAGE.read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(path.name for path in PICTURES.iterdir())


def test_commands_print_the_shown_output(place: Path, dlcli: Dlcli) -> None:
    check(place, dlcli, (TAKES_LONG, *NEEDS_FASHION_MNIST))


@pytest.mark.long
def test_commands_on_fashion_mnist_print_the_shown_output(place: Path, dlcli: Dlcli, fashion_root: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    others = tuple(block for block in BLOCK.findall(text) if not any(word in block for word in NEEDS_FASHION_MNIST))
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "dlcli"
    cache.mkdir(parents=True)
    (cache / "FashionMNIST").symlink_to(fashion_root / "FashionMNIST")
    check(place, dlcli, others)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_studies_print_the_shown_output(place: Path, dlcli: Dlcli) -> None:
    text = PAGE.read_text(encoding="utf-8")
    check(place, dlcli, tuple(block for block in BLOCK.findall(text) if TAKES_LONG not in block))


def test_row_1_only_task_and_data_change(clean_place: Path) -> None:
    settings = ["training={epochs: 2, batch_size: 32}", "model.hidden_sizes=[8]"]
    which_one = train(load_config("digits", settings))
    how_many = train(load_config("digits", [*settings, "task=regression", "data={name: diabetes}"]))
    assert set(which_one.val) == {"loss", "accuracy", "macro_f1"}
    assert set(how_many.val) == {"loss", "mse", "rmse", "mae", "r2"}


def test_row_2_least_squares_matches_the_formula_and_gradient_descent_approaches_it(clean_place: Path) -> None:
    run = train(load_config("linear_regression"), run_dir=Path("line")).run
    trained = load_trained_run(open_run(run))
    x, y = (get(trained.splits.train).numpy() for get in (trained.inputs, trained.truth))
    design = np.hstack([np.ones((len(x), 1)), x])
    theta = np.linalg.inv(design.T @ design) @ design.T @ y
    solution = evaluate(run).baselines["least_squares"]
    assert [solution["intercept"], *solution["coefficients"].values()] == pytest.approx(
        theta.flatten().tolist(), rel=1e-9
    )
    assert solution["sgd"]["coefficient_difference"] < 0.02
    assert 1 <= solution["sgd"]["train_mse"] / solution["sgd"]["least_squares_train_mse"] < 1.02


def test_row_3_a_network_has_a_lower_loss_than_least_squares(clean_place: Path) -> None:
    run = train(load_config("sine_regression", ["training.epochs=40"])).run
    losses = evaluate(run).baselines["least_squares"]["sgd"]
    assert losses["train_mse"] < losses["least_squares_train_mse"] / 5
    assert losses["coefficient_difference"] is None


def test_rows_9_and_10_distributions_and_events(clean_place: Path, dlcli: Callable[..., Finished]) -> None:
    train(load_config("digits", ["training.epochs=3"]))
    records = predict(indices=range(50), event=["3", "8", "3"]).predictions
    for record in records:
        probs = list(record["probs"].values())
        assert sum(probs) == pytest.approx(1)
        assert probs == sorted(probs, reverse=True)
        assert set(record["probs"]) == set("0123456789")
        assert record["event"]["probability"] == pytest.approx(record["probs"]["3"] + record["probs"]["8"])
    whole = json.loads(dlcli("predict", "--event", "0,1,2,3,4,5,6,7,8,9", "--json").out)
    assert whole["predictions"][0]["event"]["probability"] == pytest.approx(1)


def test_row_10_conditional_probability_is_joint_divided_by_marginal() -> None:
    """P(Rain ∩ Cloud) = 0.2 and P(Cloud) = 0.4 give P(Rain | Cloud) = 0.5."""
    true, predicted = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0, 0, 0]), torch.tensor([1, 1, 0, 0, 0, 0, 0, 1, 1, 1])
    metrics = classification_metrics(torch.eye(2, dtype=torch.float64)[predicted], true, ["clear", "cloud"])
    joint = metrics["confusion"]["counts"][1][1] / 10
    assert (joint, (true == 1).double().mean()) == (0.2, 0.4)
    assert metrics["confusion"]["predicted_given_true"][1][1] == 0.5
    assert metrics["confusion"]["true_given_predicted"][1][1] == pytest.approx(0.2 / 0.5)


def test_rows_11_and_13_a_linear_model_reaches_the_simplex_by_softmax(clean_place: Path) -> None:
    spirals = "data={name: synthetic_classification, pattern: spirals, n_classes: 3}"
    settings = [spirals, "model.hidden_sizes=[]", "training.epochs=5"]
    run = train(load_config("moons", settings), run_dir=Path("linear")).run
    trained = load_trained_run(open_run(run))
    weight, bias = (parameter.detach().double() for parameter in trained.model.parameters())
    outputs = trained.split.inputs.double() @ weight.T + bias
    assert (outputs.sum(1) - 1).abs().max() > 0.1
    on_simplex = outputs.exp() / outputs.exp().sum(1, keepdim=True)
    torch.testing.assert_close(trained.predictions, on_simplex, rtol=1e-4, atol=1e-5)
    for trace in read_traces(Path(run), 5).values():
        assert all(min(path) >= 0 and math.isclose(sum(path), 1) for path in trace.paths)


def test_row_17_all_examples_have_equal_weight_in_the_loss(clean_place: Path) -> None:
    run = train(load_config("digits", ["training={epochs: 2, batch_size: 100}"])).run
    trained = load_trained_run(open_run(run), "val")
    assert len(trained.split) % 100
    of_truth = trained.predictions.gather(1, trained.truth(trained.split).unsqueeze(1))
    assert trained.rows[trained.epoch - 1]["val/loss"] == pytest.approx(-of_truth.log().mean().item(), rel=1e-6)


def test_row_8_padded_images_have_32_by_32_pixels(fashion_root: Path) -> None:
    config = load_config("fashion_mnist", [f"data.root={fashion_root}", "data.pad=2"]).config
    splits = build_experiment(config).splits
    assert (splits.info.image_shape, splits.train.inputs.shape[1]) == ((1, 32, 32), 1024)
    assert splits.info.class_names[:2] == ("T-shirt", "Trouser")
