"""verify compares every file of a run: no number in one can be edited, and no file exchanged, without its notice."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Finished

from dlcli.api import train
from dlcli.config.load import load_config
from dlcli.runs import recorder

SETTINGS = ["model.hidden_sizes=[3]", "training={epochs: 3, batch_size: 400}", "scheduler=null"]
NOT_COMPARED = {"epoch_seconds", "examples_per_second", "seconds", "every_seconds", "pid", "from_step"}
NOTICED = (2, 3, 6)  # refused as a config or as a file, or found different

Dlcli = Callable[..., Finished]


def make_run(name: str, *settings: str) -> Path:
    run = Path("runs/made") / name
    train(load_config("moons", [*SETTINGS, *settings]), run_dir=run, evaluate_test=True)
    return run


@pytest.fixture
def run(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with each kind of file: it saves after every epoch, each of which is the best so far."""
    monkeypatch.setattr(recorder, "SAVE_SECONDS", 0.0)
    run = make_run("own")
    found = {path.stem for path in (run / "checkpoints").iterdir()}
    assert found == {"best", "best-previous", "last", "previous"}
    return run


def test_a_run_is_found_the_same_and_each_file_is_compared_or_named(dlcli: Dlcli, run: Path) -> None:
    (run / "plots").mkdir()
    (run / "notes.txt").write_text("3")
    done = dlcli("verify", str(run), "--json")
    assert done.code == 0, done
    result = json.loads(done.out)
    assert list(result) == [
        "run", "identical", "epochs", "step", "differences", "environment", "compared", "not_compared",
    ]  # fmt: skip
    named = {one.split(":")[0].rstrip("/") for one in result["compared"] + result["not_compared"]}
    there = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()} | {"plots"}
    assert named - {"checkpoints"} == there
    assert "summary.json: seconds, error, output_errors" in result["not_compared"]
    shown = dlcli("verify", str(run)).out
    assert "unchecked config.yaml" in shown
    assert "compared  checkpoints/best-previous.safetensors, " in shown


def numbers(text: str, pattern: str) -> Iterator[tuple[str, int]]:
    """Yield the key of each number of a file, and where the number begins."""
    for found in re.finditer(pattern, text, re.MULTILINE):
        keys = re.findall(r'"([^"]+)": |^ *(\w+): ', text[: found.start(1)], re.MULTILINE)
        yield "".join(keys[-1]) if keys else "", found.start(1)


def edited(text: str, place: int) -> str:
    """Return text with another first digit in the number at a place."""
    place += text[place] == "-"
    return text[:place] + str(int(text[place]) % 9 + 1) + text[place + 1 :]


JSON = r"(?<=[ \[])(-?\d[\d.e+-]*)(?=[,\]\n}])"
FILES = {
    "metrics.jsonl": JSON,
    "trace.jsonl": JSON,
    "summary.json": JSON,
    "manifest.json": JSON,
    "metrics.csv": r"(?:^|,)(-?\d[\d.e+-]*)",
    "resolved.yaml": r"(?:: \[?|, )(-?\d[\d.e+-]*)(?=[\] ,])",
}
LEAST = {"metrics.jsonl": 18, "trace.jsonl": 10, "summary.json": 15, "manifest.json": 3, "metrics.csv": 24}


@pytest.mark.parametrize("name", FILES)
def test_every_edit_of_a_number_is_noticed(dlcli: Dlcli, run: Path, name: str) -> None:
    path = run / name
    text = path.read_bytes().decode()
    tried = 0
    for key, place in numbers(text, FILES[name]):
        if key in NOT_COMPARED:
            continue
        path.write_bytes(edited(text, place).encode())
        done = dlcli("verify", str(run), "-q")
        assert done.code in NOTICED, (key, text[place : place + 20], done)
        assert "Traceback" not in done.err
        tried += 1
    assert tried >= LEAST.get(name, 12)
    path.write_bytes(text.encode())
    assert dlcli("verify", str(run), "-q").code == 0


OTHERS = {
    "another model": ["model.hidden_sizes=[5]"],
    "another seed": ["seed=1"],
    "another data": ["data.noise=0.3"],
    "other epochs": ["training.epochs=2"],
}


@pytest.mark.parametrize("other", OTHERS)
def test_no_file_can_be_another_run_s(dlcli: Dlcli, run: Path, other: str) -> None:
    made = make_run("other", *OTHERS[other])
    measured = dlcli("eval", str(run), "--json", "-q").out
    compared = json.loads(dlcli("verify", str(run), "--json", "-q").out)["compared"]
    for name in compared:
        own, foreign = (run / name).read_bytes(), (made / name).read_bytes()
        if name == "manifest.json" and other not in ("another seed", "another data"):
            continue  # it says the same
        if own == foreign or (other == "other epochs" and "previous" in name):
            continue  # it is the same, or of an earlier epoch of the same training
        (run / name).write_bytes(foreign)
        done = dlcli("verify", str(run), "-q")
        is_same_data = name == "manifest.json" and other == "another data"  # made of its settings, it has no checksum
        assert (done.code in NOTICED) != is_same_data, (name, done)
        evaluated = dlcli("eval", str(run), "--json", "-q")
        assert evaluated.code in (2, 3) or evaluated.out == measured, (name, evaluated)
        assert "Traceback" not in done.err + evaluated.err
        (run / name).write_bytes(own)
    assert dlcli("verify", str(run), "-q").code == 0


def test_a_foreign_best_checkpoint_is_not_resumed_with(dlcli: Dlcli, run: Path) -> None:
    for settings in OTHERS.values():
        made = make_run("other", *settings)
        shutil.rmtree("copy", ignore_errors=True)
        shutil.copytree(run, "copy")
        shutil.copy(made / "checkpoints/best.safetensors", "copy/checkpoints/best.safetensors")
        done = dlcli("train", "--resume", "copy", "training.epochs=4")
        assert done.code == 0
        assert "best.safetensors is missing, damaged or from another run" in done.err
        assert dlcli("verify", "copy", "-q").code == 0
        assert dlcli("eval", "copy", "-q").code == 0
        shutil.rmtree(made)


def test_checkpoints_that_have_changed_places_are_noticed(dlcli: Dlcli, run: Path) -> None:
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    for one in names:
        for other in names:
            if one == other:
                continue
            shutil.copytree(run, "copy")
            (run / "checkpoints" / one).rename(run / "checkpoints" / "kept")
            (run / "checkpoints" / other).rename(run / "checkpoints" / one)
            (run / "checkpoints" / "kept").rename(run / "checkpoints" / other)
            done = dlcli("verify", str(run), "-q")
            assert done.code in (3, 6), (one, other, done)
            assert "Traceback" not in done.err
            resumed = dlcli("train", "--resume", str(run), "training.epochs=4", "-q")
            assert resumed.code == 3 or dlcli("verify", str(run), "-q").code == 0, (one, other, resumed)
            shutil.rmtree(run)
            Path("copy").rename(run)


def test_a_run_without_a_summary_is_verified(dlcli: Dlcli, run: Path) -> None:
    (run / "summary.json").unlink()
    assert dlcli("verify", str(run), "-q").code == 0
    log = run / "metrics.jsonl"
    log.write_text(log.read_text()[:-30])
    torn = dlcli("verify", str(run))
    assert torn.code == 6, "last builds upon three epochs"
    assert "metrics.jsonl: 2 epochs, of 3 that last builds upon" in torn.out


@pytest.mark.parametrize("preset", ["digits", "diabetes", "moons"])
@pytest.mark.parametrize("normalize", ["none", "unit", "standard"])
def test_runs_of_each_kind_of_data_are_found_the_same(
    dlcli: Dlcli, clean_place: Path, preset: str, normalize: str
) -> None:
    settings = [f"data.normalize={normalize}", "training.epochs=1", "scheduler=null"]
    train(load_config(preset, settings), run_dir=Path("run"), evaluate_test=True)
    done = dlcli("verify", "run", "-q")
    assert done.code == 0, done


def test_a_run_whose_output_was_lost_is_found_the_same(dlcli: Dlcli, run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, "output_errors": {"stderr": "No space left on device"}}))
    assert dlcli("verify", str(run), "-q").code == 0


def test_missing_files_are_named(dlcli: Dlcli, run: Path) -> None:
    shutil.copytree(run, "copy")
    (run / "checkpoints" / "last.safetensors").unlink()
    done = dlcli("verify", str(run))
    assert done.code == 6
    assert "last: it is missing" in done.out
    Path("copy/summary.json").unlink()
    done = dlcli("verify", "copy")
    assert done.code == 0
    assert "unchecked summary.json: missing" in done.out


def test_a_foreign_log_or_summary_is_not_continued_from(dlcli: Dlcli, run: Path) -> None:
    made = make_run("other", "seed=1")
    for name in ("metrics.jsonl", "summary.json"):
        own = (run / name).read_bytes()
        shutil.copy(made / name, run / name)
        done = dlcli("train", "--resume", str(run), "training.epochs=4")
        assert (done.code, name in done.err) == (3, True), done
        (run / name).write_bytes(own)
    assert dlcli("train", "--resume", str(run), "training.epochs=4").code == 0
    assert dlcli("verify", str(run), "-q").code == 0


def test_a_checkpoint_of_other_arithmetic_than_the_manifest_is_refused(dlcli: Dlcli, run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["arithmetic"]["step"] = "eager"
    (run / "manifest.json").write_text(json.dumps(manifest))
    for command in (["eval", str(run)], ["train", "--resume", str(run), "training.epochs=4"]):
        done = dlcli(*command)
        assert done.code == 3
        assert "record different arithmetic" in done.err
