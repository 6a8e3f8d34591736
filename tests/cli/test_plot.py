"""`dlcli plot`, and the plots that are drawn after training."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished
from PIL import Image

from dlcli import api
from dlcli.api import run_training
from dlcli.config.load import load_config
from dlcli.plots import draw as drawing
from dlcli.training.listeners import Listeners

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("plot") / "run"
    api.train(load_config("digits", ["training.epochs=2"]), run_dir=folder)
    return str(folder)


def test_plots_are_files_in_the_run_folder(dlcli: Callable[..., Finished], run: str) -> None:
    done = dlcli("plot", run, "loss", "confusion", "--format", "png,svg")
    assert (done.code, done.err) == (0, "")
    paths = [Path(line) for line in done.out.splitlines()]
    assert paths == [Path(run, "plots", f"{name}.{kind}") for name in ("loss", "confusion") for kind in ("png", "svg")]
    assert sorted(Path(run, "plots").iterdir()) == sorted(paths), "no temporary file is left"
    before = [path.read_bytes() for path in paths]
    assert before[0].startswith(PNG)
    assert b"<svg" in before[1]
    done = dlcli("plot", run, "confusion", "loss", "--format", "svg", "--format", "png", "--json")
    files = json.loads(done.out)
    assert files["run"] == run
    assert {name: {Path(path) for path in written} for name, written in files["files"].items()} == {
        "loss": set(paths[:2]),
        "confusion": set(paths[2:]),
    }
    assert [path.read_bytes() for path in paths] == before, "the same bytes"
    (drawn,) = dlcli("plot", run, "confusion", "--split", "val", "-o", "elsewhere/deep").out.split()
    assert Path(drawn).parent == Path("elsewhere/deep")
    assert Path(drawn).read_bytes() != before[2]


def test_quiet_leaves_out_the_note_about_a_newer_run(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    api.train(load_config("digits", ["training.epochs=1"]))
    newest = Path(api.train(load_config("digits", ["training.epochs=1"])).run)
    summary = json.loads((newest / "summary.json").read_text())
    (newest / "summary.json").write_text(json.dumps({**summary, "status": "interrupted"}))
    assert "the newest run that has ended" in dlcli("plot", "--list").err
    assert dlcli("plot", "--list", "-q").err == ""


def test_the_pictures_of_several_runs_can_share_a_folder(dlcli: Callable[..., Finished], run: str) -> None:
    seconds = [api.train(load_config("digits", ["training.epochs=1"]), run_dir=Path(name, "run")) for name in "ab"]
    api.train(load_config("digits", ["training.epochs=1", "name=one"]))
    for folder in (*(result.run for result in seconds), run, "one"):
        assert dlcli("plot", folder, "loss", "-o", "shared").code == 0
    names = {path.name for path in Path("shared").iterdir()}
    assert {"a-run-loss.png", "b-run-loss.png"} < names
    assert len(names) == 4
    assert any(re.fullmatch(r"one-\d{8}T\d{6}Z-[0-9a-f]{4}-loss\.png", name) for name in names)
    assert dlcli("plot", "a/run", "loss", "-o", "a/run/mine").out == "a/run/mine/loss.png\n"


def test_the_resolution_of_pictures_can_be_chosen(dlcli: Callable[..., Finished], run: str) -> None:
    sizes = []
    for dpi in ([], ["--dpi", "72"], ["--dpi", "600"]):
        (drawn,) = dlcli("plot", run, "loss", "-o", "sized", *dpi).out.split()
        with Image.open(drawn) as image:
            sizes.append(image.size)
    assert sizes == [(960, 600), (460, 288), (3840, 2400)]
    for dpi in (["--dpi", "71"], ["--dpi", "601"], ["--dpi", "fine"]):
        assert dlcli("plot", run, "loss", *dpi).code == 2


def test_the_list_shows_names_and_titles(dlcli: Callable[..., Finished], run: str) -> None:
    done = dlcli("plot", run, "--list", "--json")
    titles = json.loads(done.out)["pictures"]
    assert list(titles)[:3] == ["loss", "metrics", "learning_rate"]
    shown = dlcli("plot", run, "--list", "--split", "val").out
    assert [line.split()[0] for line in shown.splitlines()] == list(titles)
    assert "Confusion matrix, val" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert not Path(run, "plots", "metrics.png").exists()


def test_a_plot_name_without_a_run_uses_the_newest_run(dlcli: Callable[..., Finished]) -> None:
    api.train(load_config("diabetes", ["training.epochs=1"]))
    done = dlcli("plot", "loss")
    assert done.code == 0
    assert Path(done.out.strip()).is_file()
    assert "diabetes" in done.out


def test_invalid_requests_are_reported(dlcli: Callable[..., Finished], run: str, clean_place: Path) -> None:
    wrong = dlcli("plot", run, "los")
    assert wrong.code == 2
    assert "did you mean `loss`" in wrong.err
    assert "reliability" in wrong.err
    not_applicable = dlcli("plot", run, "fit")
    assert not_applicable.code == 2
    assert "picture fit does not apply" in not_applicable.err
    assert "weights" in not_applicable.err
    assert dlcli("plot", run, "--format", "gif").code == 2
    assert dlcli("plot", "nowhere").code == 2
    Path("file").write_text("")
    for folder in ("file", "file/deeper"):
        refused = dlcli("plot", run, "loss", "-o", folder)
        assert refused.code == 3
        assert f"cannot create {folder}" in refused.err
    name = f"{Path(run).parent.name}-run-loss.png"
    Path("taken", name).mkdir(parents=True)
    refused = dlcli("plot", run, "loss", "-o", "taken")
    assert refused.code == 3
    assert f"cannot write taken/{name}" in refused.err
    assert "Traceback" not in refused.err
    assert list(Path("taken").iterdir()) == [Path("taken", name)]


def test_a_symlink_in_a_foreign_run_is_not_followed(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    api.train(load_config("diabetes", ["training.epochs=1"]), run_dir=Path("one"))
    Path("precious").mkdir()
    Path("one/plots").symlink_to(clean_place / "precious")
    refused = dlcli("plot", "one", "loss")
    assert refused.code == 3
    assert "is a symbolic link" in refused.err
    assert not list(Path("precious").iterdir())


def train(*overrides: str, evaluate_test: bool = False) -> tuple[api.TrainResult, list[str]]:
    notes: list[str] = []
    loaded = load_config("digits", ["training.epochs=1", *overrides])
    result = api.train(loaded, evaluate_test=evaluate_test, listeners=Listeners(notify=notes.append))
    return result, notes


def test_after_long_training_the_cheap_plots_of_val_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "cheap_names", lambda: ["loss", "confusion"])
    short, notes = train()
    assert not Path(short.run, "plots").exists()
    assert notes == []
    monkeypatch.setattr(run_training, "LONG_SECONDS", 0.0)
    never, _ = train("plots=never")
    assert not Path(never.run, "plots").exists()
    drawn, notes = train(evaluate_test=True)
    assert sorted(path.name for path in Path(drawn.run, "plots").iterdir()) == ["confusion.png", "loss.png"]
    assert notes == [f"saved 2 pictures of the validation split in {drawn.run}/plots"]
    assert drawn.test is not None
    measured = api.evaluate(drawn.run, baselines=False).metrics
    assert drawn.test == {name: measured[name] for name in drawn.test}, "drawing does not change the model"
    from_file = api.draw(drawn.run, ["confusion"], split="val", folder=Path("again")).files["confusion"]
    assert Path(from_file[0]).read_bytes() == Path(drawn.run, "plots", "confusion.png").read_bytes()


def test_a_resumed_run_is_plotted_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "cheap_names", lambda: ["loss"])
    first, _ = train("plots=always", "scheduler=null")
    before = Path(first.run, "plots", "loss.png").read_bytes()
    api.resume(first.run, load_config(f"{first.run}/resolved.yaml", ["training.epochs=3"]))
    assert Path(first.run, "plots", "loss.png").read_bytes() != before


def test_a_failed_plot_does_not_fail_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> bytes:
        raise RuntimeError("no ink")

    monkeypatch.setattr("dlcli.plots.gallery.render", fail)
    result, notes = train("plots=always")
    assert result.status == "finished"
    assert notes == [f"could not draw pictures: no ink; try again with `dlcli plot {result.run}`"]


def test_cheap_plots_do_not_use_the_test_split() -> None:
    from dlcli.plots.gallery import cheap_names, pictures
    from dlcli.runs.run import open_run
    from dlcli.runs.trained_run import load_trained_run

    result, _ = train()
    trained = load_trained_run(open_run(result.run), "val")
    object.__setattr__(trained.splits, "test", None)
    assert {picture.name for picture in pictures(trained, cheap_names())} >= {"loss", "confusion", "gradients"}


def test_training_imports_matplotlib_only_to_draw(clean_place: Path) -> None:
    code = (
        "import dlcli, sys\n"
        "dlcli.train(dlcli.load_config('digits', ['training.epochs=1']))\n"
        "print('matplotlib' in sys.modules)\n"
        "dlcli.train(dlcli.load_config('digits', ['training.epochs=1', 'plots=always']))\n"
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (["False", "True", "False"], "")
