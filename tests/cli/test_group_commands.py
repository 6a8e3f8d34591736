"""`dlcli train --seeds`, `runs` and `report` on groups of seeds."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished

from dlcli import api
from dlcli.config.load import load_config

Dlcli = Callable[..., Finished]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two groups, `runs/digits/sigmoid` and `runs/digits/relu`, and a run, `single`."""
    place = tmp_path_factory.mktemp("groups")
    for activation in ("sigmoid", "relu"):
        loaded = load_config("digits", ["training.epochs=2", f"model.activation={activation}", "plots=always"])
        api.train_seeds(loaded, seeds=6, run_dir=place / "runs" / "digits" / activation, evaluate_test=True)
    api.train(load_config("digits", ["training.epochs=1"]), run_dir=place / "single")
    return place


@pytest.fixture
def inside(place: Path, clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def test_training_prints_the_statistics_that_show_prints(dlcli: Dlcli, clean_place: Path) -> None:
    arguments = ("train", "-c", "moons", "--seeds", "3", "training.epochs=2", "--run-dir", "group", "-q")
    done = dlcli(*arguments)
    assert done.out.startswith(dlcli("runs", "show", "group").out)
    assert done.out.endswith("\nnext      dlcli report group\n")
    trained = json.loads(dlcli("train", "--resume", "group", "--json", "-q").out)
    shown = json.loads(dlcli("runs", "show", "group", "--json").out)
    assert trained["statistics"] == shown["statistics"]
    with Path("group/seeds.csv").open() as file:
        losses = [float(row["val/loss"]) for row in csv.DictReader(file)]
    spread = shown["statistics"]["metrics"]["val/loss"]
    assert list(spread["values"].values()) == losses
    assert (spread["mean"], spread["sd"]) == pytest.approx((statistics.fmean(losses), statistics.stdev(losses)))


def test_a_group_is_a_row_of_the_list(dlcli: Dlcli, inside: Path) -> None:
    lines = [line for line in dlcli("runs", "list").out.splitlines() if line.startswith("digits/")]
    assert [line.split()[0] for line in lines] == ["digits/sigmoid", "digits/relu"]
    assert all(" ± " in line and "6 seeds" in line for line in lines)
    first, _ = json.loads(dlcli("runs", "list", "--json").out)["runs"]
    assert (first["seeds"], first["diverged"], first["epochs"]) == ([0, 1, 2, 3, 4, 5], [], 2)


def test_the_page_is_written_after_training_and_again(dlcli: Dlcli, inside: Path) -> None:
    page = inside / "runs" / "digits" / "relu" / "report.html"
    content = page.read_bytes()
    assert dlcli("report", str(page.parent)).out == f"{page}\n"
    assert page.read_bytes() == content
    assert b"digits.yaml" in content, "settings have their origins"
    done = dlcli("report", "runs/digits/relu", "--split", "val")
    assert (done.code, "--split is for a single run" in done.err) == (2, True)


def test_two_groups_are_compared_by_seed(dlcli: Dlcli, inside: Path, tmp_path: Path) -> None:
    groups = ("runs/digits/sigmoid", "runs/digits/relu")
    files = ("--html", str(tmp_path / "page.html"), "-o", str(tmp_path / "figure.svg"))
    compared = json.loads(dlcli("runs", "compare", *groups, *files, "--json").out)
    assert (compared["metric"], compared["seeds"]) == ("test/loss", [0, 1, 2, 3, 4, 5])
    assert compared["labels"] == ["sigmoid", "relu"]
    first, second = (
        json.loads(dlcli("runs", "show", group, "--json").out)["statistics"]["metrics"]["test/loss"]["values"]
        for group in groups
    )
    assert compared["paired"]["difference"]["values"] == {seed: first[seed] - second[seed] for seed in first}
    assert compared["statement"] in " ".join((tmp_path / "page.html").read_text(encoding="utf-8").split())
    assert (tmp_path / "figure.svg").read_bytes().startswith(b"<?xml")
    chosen = dlcli("runs", "compare", *groups, "--metric", "val/accuracy").out
    assert "val/accuracy decides: chosen with --metric" in chosen
    table = list(csv.reader(io.StringIO(dlcli("runs", "compare", *groups, "--format", "csv").out)))
    difference = compared["metrics"]["test/loss"]["difference"]
    assert [float(cell) for cell in table[1][7:]] == [difference["mean"], difference["sd"], 6]
    assert dlcli("runs", "compare", *groups, "--format", "md").out.startswith(
        "| metric | sigmoid | relu | difference |"
    )


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            ["runs", "compare", "single", "digits"],
            "runs/digits/relu is a group of seeds and single a single run, which cannot be compared",
            "`dlcli runs compare runs/digits/relu/0 single`",
        ),
        (["runs", "compare", "digits", "digits", "digits"], "Got 3 groups instead", "dlcli runs show GROUP"),
        (["runs", "compare", "digits", "digits", "--metric", "val/f1"], "do not both have val/f1", "both have test/"),
        (["runs", "compare", "single", "single", "--metric", "val/loss"], "--metric is for two groups", "remove"),
        (
            ["runs", "show", "digits", "--diagnose"],
            "about a single run",
            "`dlcli runs show runs/digits/relu/0 --diagnose`",
        ),
    ],
)
def test_mistakes_have_a_hint(dlcli: Dlcli, inside: Path, arguments: list[str], message: str, hint: str) -> None:
    done = dlcli(*arguments)
    assert done.code == 2
    assert message in done.err
    assert hint in done.err
