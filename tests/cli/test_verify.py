"""Verification of runs: edited numbers and exchanged files are detected."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Finished

from dlcli.api import train, verify
from dlcli.config.load import load_config
from dlcli.errors import UsageError
from dlcli.runs import recorder

SETTINGS = ["model.hidden_sizes=[3]", "training={epochs: 3, batch_size: 400}", "scheduler=null"]
NOT_COMPARED = {
    *("epoch_seconds", "examples_per_second", "seconds", "every_seconds", "timeout_seconds", "pid", "from_step"),
    "size",  # number of processes: `verify` starts as many
}
DETECTED = (2, 3, 6)  # config error, data error, or verification failure

Dlcli = Callable[..., Finished]


def make_run(name: str, *settings: str) -> Path:
    run = Path("runs/made") / name
    train(load_config("moons", [*SETTINGS, *settings]), run_dir=run, evaluate_test=True)
    return run


@pytest.fixture
def run(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run with every kind of file; it saves after each epoch, and each epoch is the best so far."""
    monkeypatch.setattr(recorder, "SAVE_SECONDS", 0.0)
    run = make_run("original")
    names = {path.stem for path in (run / "checkpoints").iterdir()}
    assert names == {"best", "best-previous", "last", "previous"}
    return run


def test_an_unchanged_run_is_identical_and_every_file_is_compared_or_listed(dlcli: Dlcli, run: Path) -> None:
    (run / "plots").mkdir()
    (run / "notes.txt").write_text("3")
    done = dlcli("verify", str(run), "--json")
    assert done.code == 0, done
    result = json.loads(done.out)
    assert list(result) == [
        "run", "identical", "epochs", "step", "differences", "environment", "compared", "not_compared",
    ]  # fmt: skip
    listed = {name.split(":")[0].rstrip("/") for name in result["compared"] + result["not_compared"]}
    existing = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()} | {"plots"}
    assert listed - {"checkpoints"} == existing
    assert "summary.json: seconds, error, output_errors" in result["not_compared"]
    shown = dlcli("verify", str(run)).out
    assert "unchecked config.yaml" in shown
    assert "compared  checkpoints/best-previous.safetensors, " in shown


def numbers(text: str, pattern: str) -> Iterator[tuple[str, int]]:
    """Yield the key and the offset of each number in a file."""
    for match in re.finditer(pattern, text, re.MULTILINE):
        keys = re.findall(r'"([^"]+)": |^ *(\w+): ', text[: match.start(1)], re.MULTILINE)
        yield "".join(keys[-1]) if keys else "", match.start(1)


def edited(text: str, offset: int) -> str:
    """Return the text with a changed first digit in the number at an offset."""
    offset += text[offset] == "-"
    return text[:offset] + str(int(text[offset]) % 9 + 1) + text[offset + 1 :]


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
def test_every_edited_number_is_detected(dlcli: Dlcli, run: Path, name: str) -> None:
    path = run / name
    text = path.read_bytes().decode()
    tried = 0
    for key, offset in numbers(text, FILES[name]):
        if key in NOT_COMPARED:
            continue
        path.write_bytes(edited(text, offset).encode())
        done = dlcli("verify", str(run), "-q")
        assert done.code in DETECTED, (key, text[offset : offset + 20], done)
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
def test_files_of_another_run_are_detected(dlcli: Dlcli, run: Path, other: str) -> None:
    made = make_run("other", *OTHERS[other])
    measured = dlcli("eval", str(run), "--json", "-q").out
    compared = json.loads(dlcli("verify", str(run), "--json", "-q").out)["compared"]
    for name in compared:
        original, foreign = (run / name).read_bytes(), (made / name).read_bytes()
        if name == "manifest.json" and other not in ("another seed", "another data"):
            continue  # its compared entries are the same
        if original == foreign or (other == "other epochs" and "previous" in name):
            continue  # identical, or from an earlier epoch of the same training
        (run / name).write_bytes(foreign)
        done = dlcli("verify", str(run), "-q")
        is_same_data = name == "manifest.json" and other == "another data"  # synthetic data has no checksum
        assert (done.code in DETECTED) != is_same_data, (name, done)
        evaluated = dlcli("eval", str(run), "--json", "-q")
        assert evaluated.code in (2, 3) or evaluated.out == measured, (name, evaluated)
        assert "Traceback" not in done.err + evaluated.err
        (run / name).write_bytes(original)
    assert dlcli("verify", str(run), "-q").code == 0


def test_resume_does_not_use_the_best_checkpoint_of_another_run(dlcli: Dlcli, run: Path) -> None:
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


def test_swapped_checkpoints_are_detected(dlcli: Dlcli, run: Path) -> None:
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    for first in names:
        for second in names:
            if first == second:
                continue
            shutil.copytree(run, "copy")
            (run / "checkpoints" / first).rename(run / "checkpoints" / "kept")
            (run / "checkpoints" / second).rename(run / "checkpoints" / first)
            (run / "checkpoints" / "kept").rename(run / "checkpoints" / second)
            done = dlcli("verify", str(run), "-q")
            assert done.code in (3, 6), (first, second, done)
            assert "Traceback" not in done.err
            resumed = dlcli("train", "--resume", str(run), "training.epochs=4", "-q")
            assert resumed.code == 3 or dlcli("verify", str(run), "-q").code == 0, (first, second, resumed)
            shutil.rmtree(run)
            Path("copy").rename(run)


def test_a_run_without_a_summary_can_be_verified(dlcli: Dlcli, run: Path) -> None:
    (run / "summary.json").unlink()
    assert dlcli("verify", str(run), "-q").code == 0
    log = run / "metrics.jsonl"
    log.write_text(log.read_text()[:-30])
    torn = dlcli("verify", str(run))
    assert torn.code == 6, "last was saved after three epochs"
    assert "metrics.jsonl: 2 epochs, but last was saved after 3" in torn.out


@pytest.mark.parametrize("preset", ["digits", "diabetes", "moons"])
@pytest.mark.parametrize("normalize", ["none", "unit", "symmetric", "standard"])
def test_runs_on_every_kind_of_data_are_identical(dlcli: Dlcli, clean_place: Path, preset: str, normalize: str) -> None:
    settings = [f"data.normalize={normalize}", "training.epochs=1", "scheduler=null"]
    train(load_config(preset, settings), run_dir=Path("run"), evaluate_test=True)
    done = dlcli("verify", "run", "-q")
    assert done.code == 0, done


def test_a_run_with_output_errors_is_identical(dlcli: Dlcli, run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, "output_errors": {"stderr": "No space left on device"}}))
    assert dlcli("verify", str(run), "-q").code == 0


def test_missing_files_are_reported(dlcli: Dlcli, run: Path) -> None:
    shutil.copytree(run, "copy")
    (run / "checkpoints" / "last.safetensors").unlink()
    done = dlcli("verify", str(run))
    assert done.code == 6
    assert "last: the file is missing" in done.out
    Path("copy/summary.json").unlink()
    done = dlcli("verify", "copy")
    assert done.code == 0
    assert "unchecked summary.json: missing" in done.out


def test_resume_refuses_the_log_or_summary_of_another_run(dlcli: Dlcli, run: Path) -> None:
    made = make_run("other", "seed=1")
    for name in ("metrics.jsonl", "summary.json"):
        original = (run / name).read_bytes()
        shutil.copy(made / name, run / name)
        done = dlcli("train", "--resume", str(run), "training.epochs=4")
        assert (done.code, name in done.err) == (3, True), done
        (run / name).write_bytes(original)
    assert dlcli("train", "--resume", str(run), "training.epochs=4").code == 0
    assert dlcli("verify", str(run), "-q").code == 0


def test_a_checkpoint_with_other_arithmetic_than_the_manifest_is_refused(dlcli: Dlcli, run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["arithmetic"]["step"] = "eager"
    (run / "manifest.json").write_text(json.dumps(manifest))
    for command in (["eval", str(run)], ["train", "--resume", str(run), "training.epochs=4"]):
        done = dlcli(*command)
        assert done.code == 3
        assert "record different arithmetic" in done.err


def test_another_number_of_processes_is_refused(dlcli: Dlcli, run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["world"]["size"] = 2
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="was trained by 2 processes"):
        verify(run)
    manifest["resumed"] = [{"world": {"size": 4}}]
    (run / "manifest.json").write_text(json.dumps(manifest))
    done = dlcli("verify", str(run))
    assert done.code == 2
    assert "was trained by 2, then 4 processes" in done.err
    assert "training.shards=4" in done.err
