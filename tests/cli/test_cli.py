"""Command line from the outside: results, exit codes, pipes, signals and the absence of tracebacks."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from conftest import Finished, run_process
from faults.forge import Forge

from dlcli.bench.startup import measure_start_up
from dlcli.config.presets import presets

QUICK = ["-c", "digits", "training.epochs=2", "--quiet"]
COMMAND = [sys.executable, "-m", "dlcli"]


def strict_json(text: str) -> dict[str, object]:
    value = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))
    assert isinstance(value, dict)
    return value


def test_train_eval_predict_and_runs_are_consistent(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    trained = strict_json(dlcli("train", *QUICK, "--seed", "3", "--eval", "--json").out)
    assert set(trained) >= {"run", "epochs", "best_epoch", "checkpoints", "val", "seconds", "test"}
    run = Path(str(trained["run"]))
    promised = ["config.yaml", "resolved.yaml", "manifest.json", "metrics.jsonl", "summary.json", "checkpoints"]
    assert {file.name for file in run.iterdir()} >= set(promised)

    evaluated = strict_json(dlcli("eval", "--json").out)
    assert (evaluated["run"], evaluated["split"], evaluated["checkpoint"]) == (str(run), "test", "best")
    assert evaluated["examples"] == 359
    assert {key: evaluated["metrics"][key] for key in trained["test"]} == trained["test"]  # type: ignore[index, attr-defined]
    on_val = strict_json(dlcli("eval", str(run), "--split", "val", "--json").out)
    assert {key: on_val["metrics"][key] for key in trained["val"]} == trained["val"]  # type: ignore[index, attr-defined]

    predicted = strict_json(dlcli("predict", "digits", "--index", "7,0", "--json").out)
    assert [record["index"] for record in predicted["predictions"]] == [7, 0]  # type: ignore[attr-defined]
    assert strict_json(dlcli("runs", "list", "--json").out)["runs"][0]["run"] == str(run)  # type: ignore[index]
    shown = strict_json(dlcli("runs", "show", "--json").out)
    assert shown["config"]["seed"] == 3  # type: ignore[index]
    assert shown["manifest"]["versions"]["torch"]  # type: ignore[index]
    for words in (("eval",), ("predict",), ("runs", "list"), ("runs", "show")):
        done = dlcli(*words)
        assert done.code == 0
        assert "accuracy" in done.out or "label" in done.out
        unlimited = ("command", "versions")
        assert all(len(line) <= 80 for line in done.out.splitlines() if not line.startswith(unlimited))


def test_training_from_resolved_yaml_reproduces_a_run(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    first = strict_json(dlcli("train", *QUICK, "model.dropout=0.2", "--json").out)
    again = strict_json(dlcli("train", "-c", f"{first['run']}/resolved.yaml", "--quiet", "--json").out)
    assert again["val"] == first["val"]
    compared = strict_json(dlcli("runs", "compare", str(first["run"]), str(again["run"]), "--json").out)
    assert compared["settings"] == {}


def test_regression_is_evaluated_and_predicted_in_the_target_unit(dlcli: Callable[..., Finished]) -> None:
    trained = dlcli("train", "-c", "diabetes", "training.epochs=20", "--eval", "--json", "--quiet")
    metrics = {"loss", "mse", "rmse", "rmse_interval", "mae", "r2"}
    assert set(strict_json(trained.out)["test"]) == metrics  # type: ignore[call-overload]
    assert "points, true" in dlcli("predict").out
    (record,) = strict_json(dlcli("predict", "--json", "-i", "3").out)["predictions"]  # type: ignore[misc]
    assert set(record) == {"index", "output", "target"}
    assert dlcli("eval", "--fail-under", "r2=0.2").code == 0


def test_fail_under_exits_with_6_and_names_the_threshold(dlcli: Callable[..., Finished]) -> None:
    dlcli("train", *QUICK)
    assert dlcli("eval", "--fail-under", "accuracy=0.5").code == 0
    failed = dlcli("eval", "--fail-under", "accuracy=0.9999", "--json")
    assert failed.code == 6
    assert "is below 0.9999" in failed.err
    strict_json(failed.out)
    assert dlcli("eval", "--fail-under", "accuracy").code == 2
    assert dlcli("eval", "--fail-under", "loss=1").code == 2
    assert dlcli("eval", "--fail-under", "acuracy=1").code == 2


def test_bench_prints_a_table_of_80_columns_and_writes_no_files(
    dlcli: Callable[..., Finished], clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlcli.bench.bench.measure_start_up", partial(measure_start_up, rounds=1))
    shown = dlcli("bench", "-c", "digits", "model.hidden_sizes=[8]", "--rounds", "1", "--against", "tutorial")
    assert shown.code == 0
    assert all(len(line) <= 80 for line in shown.out.splitlines()), shown.out
    assert "tutorial" in shown.out
    assert "µs per step" in shown.err
    result = strict_json(dlcli("bench", "-c", "digits", "--rounds", "1", "--json").out)
    (workload,) = result["workloads"]  # type: ignore[misc]
    assert (workload["workload"], workload["batch_size"], workload["against"]) == ("digits", 64, None)
    assert "import torch" in result["start_up_seconds"]  # type: ignore[operator]
    assert list(clean_place.iterdir()) == []


def test_bench_rejects_overrides_without_a_config(dlcli: Callable[..., Finished]) -> None:
    refused = dlcli("bench", "training.batch_size=8")
    assert refused.code == 2
    assert "dlcli bench -c digits training.batch_size=8" in refused.err


@pytest.mark.parametrize("config", [[], ["-c", "digits"]], ids=["built in", "config"])
def test_bench_accepts_a_device(dlcli: Callable[..., Finished], config: list[str]) -> None:
    refused = dlcli("bench", *config, "--device", "cuda:99")
    assert refused.code == 4
    assert "cannot use device cuda:99" in refused.err


def test_global_options_may_precede_the_command(dlcli: Callable[..., Finished]) -> None:
    trained = dlcli("--json", "--progress", "none", "train", "-c", "digits", "training.epochs=1")
    assert trained.err == ""
    assert strict_json(trained.out)["epochs"] == 1
    assert len(strict_json(dlcli("--json", "runs", "list").out)["runs"]) == 1  # type: ignore[arg-type]
    assert dlcli("--quiet", "eval").out.splitlines()[0].startswith("loss")
    assert dlcli("eval", "--quiet", "--json").out == dlcli("--json", "eval").out


def test_dry_run_checks_everything_and_writes_no_files(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    done = dlcli("train", "-c", "digits", "--dry-run")
    assert done.code == 0
    assert "4,810 parameters" in done.out
    assert strict_json(dlcli("train", "-c", "digits", "--dry-run", "--json").out)["epochs"] == 40
    assert list(clean_place.iterdir()) == []
    assert dlcli("train", "-c", "fashion_mnist", "--dry-run").code == 3


def test_only_the_same_seed_gives_identical_checkpoints(forge: Forge, clean_place: Path) -> None:
    digests = []
    for seed in (0, 0, 1):
        done = forge.run("train", *QUICK, "--json", "--seed", str(seed), "model.dropout=0.1", folder=clean_place)
        files = strict_json(done.out)["checkpoints"]
        digests.append([hashlib.sha256(Path(files[name]).read_bytes()).hexdigest() for name in ("best", "last")])  # type: ignore[index]
    assert digests[0] == digests[1]
    assert not set(digests[0]) & set(digests[2])


def test_piped_output_has_one_line_per_epoch_and_no_escape_codes(
    dlcli: Callable[..., Finished], clean_place: Path
) -> None:
    done = run_process(["train", "-c", "digits", "training.epochs=3"])
    assert done.code == 0
    assert "\x1b" not in done.out + done.err
    assert "\r" not in done.out + done.err
    assert [line.split()[1] for line in done.err.splitlines() if line.startswith("epoch")] == ["1/3", "2/3", "3/3"]
    assert done.out.splitlines()[-1].startswith("next      dlcli eval runs/digits/")
    quiet = dlcli("train", *QUICK)
    assert quiet.err == ""


@pytest.mark.parametrize("no_color", [False, True])
def test_terminal_shows_a_progress_bar_and_keeps_the_table(clean_place: Path, no_color: bool) -> None:
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", **({"NO_COLOR": "1"} if no_color else {})}
    command = [*COMMAND, "train", "-c", "digits", "training.epochs=3"]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment) as process:
        os.close(terminal)
        output = b""
        try:
            while chunk := os.read(controller, 65536):
                output += chunk
        except OSError:  # raised by Linux when the other end of the terminal has closed
            pass
    os.close(controller)
    text = output.decode()
    assert process.returncode == 0
    assert "━" in text
    assert "val loss, log" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    assert ("\x1b[32m" in text or "\x1b[36m" in text) is not no_color


def test_a_closed_pipe_is_not_an_error(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    assert dlcli("train", *QUICK).code == 0
    for arguments in (["runs", "list"], ["eval", "--json"], ["--help"]):
        reader, writer = os.pipe()
        os.close(reader)  # like `| head` that exits before the first line
        done = subprocess.run([*COMMAND, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
        os.close(writer)
        assert (arguments, done.returncode, done.stderr) == (arguments, 0, "")


def test_training_continues_if_nobody_reads_its_progress(clean_place: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, "train", "-c", "digits", "training.epochs=2"], stdout=writer, stderr=writer)
    os.close(writer)
    assert done.returncode == 0
    assert len(list(clean_place.glob("runs/digits/*/summary.json"))) == 1


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_run_and_shows_how_to_resume(
    dlcli: Callable[..., Finished], clean_place: Path, signum: signal.Signals, code: int
) -> None:
    command = [*COMMAND, "train", "-c", "digits", "training.epochs=100000", "--progress", "plain"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch"):
                break
        time.sleep(0.3)
        process.send_signal(signum)
        _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in err
    assert re.search(
        r"^interrupted (in epoch \d+ of 100000, step \d+ of 21|after epoch \d+ of 100000); saved ", err, re.MULTILINE
    )
    assert "error:" not in err
    assert "hint: `dlcli train --resume runs/digits/" in err
    (summary,) = clean_place.glob("runs/digits/*/summary.json")
    assert json.loads(summary.read_text())["status"] == "interrupted"
    evaluated = dlcli("eval", "--checkpoint", "last", "--json")
    whole_epochs = json.loads(summary.read_text())["epochs"]
    assert strict_json(evaluated.out)["epoch"] in (whole_epochs, whole_epochs + 1), (
        "the signal may arrive within an epoch"
    )


def test_a_moved_run_is_evaluated_from_any_folder(
    dlcli: Callable[..., Finished], clean_place: Path, fashion_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relative = os.path.relpath(fashion_root)
    trained = dlcli("train", "-c", "fashion_mnist_linear", f"data.root={relative}", "training.epochs=1", "--json")
    moved = clean_place / "moved"
    Path(str(strict_json(trained.out)["run"])).rename(moved)
    (clean_place / "other" / "folder").mkdir(parents=True)
    monkeypatch.chdir("other/folder")
    assert strict_json(dlcli("eval", str(moved), "--json").out)["examples"] == 10_000
    (clean_place / "new").symlink_to(fashion_root)
    text = (moved / "resolved.yaml").read_text()
    (moved / "resolved.yaml").write_text(text.replace(str(fashion_root.resolve()), "/nowhere"))
    assert dlcli("eval", str(moved)).code == 3
    done = dlcli("predict", str(moved), "--data-root", str(clean_place / "new"), "--json")
    assert len(strict_json(done.out)["predictions"]) == 3  # type: ignore[arg-type]


def test_evaluation_on_changed_data_is_rejected(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    run = Path(str(strict_json(dlcli("train", "-c", "moons", "training.epochs=1", "--quiet", "--json").out)["run"]))
    text = (run / "resolved.yaml").read_text()
    (run / "resolved.yaml").write_text(text.replace("noise: 0.2", "noise: 0.4"))
    done = dlcli("eval")
    assert done.code == 3
    assert "data.noise is 0.2 in best.safetensors and 0.4 in resolved.yaml" in done.err


def make_unreadable_run(_: Path) -> None:
    run = Path("runs/bad/one")
    (run / "checkpoints").mkdir(parents=True)
    (run / "manifest.json").write_text("{")
    (run / "checkpoints" / "best.safetensors").write_text("not a checkpoint")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train", "-c", "missing.yaml"], 2, "cannot read missing.yaml: no such file"),
        (["train", "-c", "digitz"], 2, "did you mean `digits`?"),
        (["train", "-c", "."], 2, "is a folder"),
        (["train", "-c", "empty.yaml"], 2, "data is missing"),
        (["train", "-c", "typo.yaml"], 2, "typo.yaml:2:12: training.epocs is not a setting"),
        (["train", "-c", "digits", "optimizer.lr=-0.1"], 2, "optimizer.lr must be greater than 0. Got -0.1 instead"),
        (["train", "-c", "digits", "data.name=cifar"], 2, "data.name must be one of fashion_mnist, mnist, digits"),
        (["train", "-c", "digits", "--device", "cuda:99"], 4, "cannot use device cuda:99"),
        (["train", "-c", "digits", "--device", "tpu"], 2, "training.device must be auto, cpu, cuda"),
        (["train", "-c", "digits", "--seed", "-1"], 2, "seed must be at least 0"),
        (["train", "-c", "digits", "--seed", "x"], 2, "--seed"),
        (["train", "-c", "digits", "optimizer.lr=1e18", "model.activation=relu"], 5, "training diverged"),
        (["train", "-c", "digits", "model.hidden_sizes=[900000000, 900000000]"], 4, "out of memory with hidden_sizes"),
        (["train", "-c", "digits", "--run-dir", "typo.yaml"], 2, "cannot create the run folder"),
        (["train", "-c", "digits", "[/bold]=\x1b[31m"], 2, "[/bold] has a character YAML does not allow: #x001b"),
        (["eval", "nothing"], 2, "run 'nothing' not found"),
        (["eval", "bad"], 3, "damaged"),
        (["eval", "bad", "--checkpoint", "last"], 3, "runs/bad/one/checkpoints/last.safetensors does not exist"),
        (["predict", "bad"], 3, "damaged"),
        (["predict", "--index", "one"], 2, "not a list of whole numbers"),
        (["runs", "show", "bad"], 3, "not JSON"),
        (["runs", "compare", "bad"], 2, "at least two"),
        (["data", "check", "fashion_mnist"], 3, "is missing"),
        (["data", "check", "cifar"], 2, "unknown data source 'cifar'"),
        (["config", "show", "digits", "training.epochs=0"], 2, "training.epochs must be at least 1"),
        (["config", "validate", "digits", "typo.yaml", "missing.yaml"], 2, "cannot read missing.yaml"),
        (["config", "init", "--data", "digits", "-o", "typo.yaml"], 2, "cannot write typo.yaml: file exists"),
        (
            ["config", "init", "--data", "diabetes", "--task", "classification"],
            2,
            "diabetes is a data source for regression",
        ),
        (["nonsense"], 2, "dlcli has no command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_user_errors_have_an_exit_code_and_no_traceback(
    dlcli: Callable[..., Finished], clean_place: Path, arguments: list[str], code: int, words: str
) -> None:
    Path("empty.yaml").touch()
    Path("typo.yaml").write_text("data: {name: digits}\ntraining: {epocs: 3}\n")
    make_unreadable_run(clean_place)
    done = dlcli(*arguments)
    assert done.code == code, done
    assert words in " ".join(done.err.split()).replace("│ ", "")
    assert "Traceback" not in done.err
    assert "\x1b" not in done.err


def test_fashion_mnist_without_network_exits_with_3(
    dlcli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision

    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    done = dlcli("train", "-c", "fashion_mnist", "data.root=data")
    assert done.code == 3
    assert "cannot download Fashion-MNIST" in done.err
    assert "put the four *-ubyte files" in done.err
    assert "`dlcli train -c digits` needs no download" in done.err
    assert "31 MB" in done.err


def test_validate_reports_positions_for_editors(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    Path("typo.yaml").write_text("data: {name: digits}\ntraining: {epocs: 3}\n")
    done = dlcli("config", "validate", "digits", "typo.yaml", "--json")
    assert done.code == 2
    assert strict_json(done.out)["problems"] == [
        {
            "file": "typo.yaml",
            "line": 2,
            "column": 12,
            "key": "training.epocs",
            "message": "training.epocs is not a setting",
            "hint": "did you mean `training.epochs`?",
            "text": "training: {epocs: 3}",
        }
    ]


def test_a_starting_config_is_explained_and_trains(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    assert dlcli("config", "init", "--data", "digits", "-o", "mine.yaml").code == 0
    text = Path("mine.yaml").read_text()
    assert "  # Peak learning rate" in text
    assert "  # Optimization algorithm. One of sgd, adam, adamw, rmsprop.\n  name: sgd\n" in text
    assert dlcli("train", "-c", "mine.yaml", "training.epochs=1", "--quiet").code == 0
    assert Path("runs/my-digits").is_dir()


def test_diff_compares_resolved_settings_of_configs_and_runs(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    run = strict_json(dlcli("train", *QUICK, "--json").out)["run"]
    differing = strict_json(dlcli("config", "diff", "digits", str(run), "--json").out)["differences"]
    assert differing == {"training.epochs": {"a": 40, "b": 2}}
    shown = dlcli("config", "diff", "digits", str(run)).out
    assert shown.splitlines()[1].split() == ["training.epochs", "40", "2"]
    assert dlcli("config", "diff", "moons", "moons").out == "no difference\n"
    for preset in presets():
        Path("shown.yaml").write_text(dlcli("config", "show", preset).out)
        assert dlcli("config", "diff", preset, "shown.yaml").out == "no difference\n"
    assert dlcli("config", "diff", "digits", "nothing").code == 2


def test_schema_and_explain_print_their_output(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    assert strict_json(dlcli("config", "schema").out)["title"] == "dlcli config"
    assert dlcli("config", "schema", "-o", "dlcli.schema.json").code == 0
    assert dlcli("config", "schema", "-o", "dlcli.schema.json").code == 2
    assert dlcli("config", "init").out.startswith("# yaml-language-server: $schema=dlcli.schema.json\n")
    told = dlcli("config", "explain", "optimizer.momentum").out
    assert "Fraction of the previous update" in told
    assert max(len(line) for line in told.splitlines()) <= 80
    assert strict_json(dlcli("config", "explain", "seed", "--json").out)["default"] == "0"
    assert dlcli("config", "explain", "sead").code == 2


def test_a_bug_in_dlcli_shows_its_traceback(clean_place: Path) -> None:
    code = "import dlcli.api, dlcli.cli, sys\ndlcli.api.train = lambda *a, **k: 1 / 0\n"
    code += "sys.argv = ['dlcli', 'train', '-c', 'digits']\ndlcli.cli.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_the_newest_finished_run_is_used_and_an_interrupted_one_is_named(
    dlcli: Callable[..., Finished], clean_place: Path
) -> None:
    assert dlcli("train", *QUICK).code == 0
    (first,) = clean_place.glob("runs/*/*")
    copy = first.with_name("99991231T000000Z-abcd")
    shutil.copytree(first, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "started": "9999-12-31"}))
    summary = json.loads((copy / "summary.json").read_text())
    (copy / "summary.json").write_text(json.dumps({**summary, "status": "interrupted", "epochs": 0}))
    shown = dlcli("runs", "show")
    assert shown.out.startswith(f"run       {first.relative_to(clean_place)}\n")
    relative = copy.relative_to(clean_place)
    assert (
        shown.err
        == f"note: using {first.relative_to(clean_place)}, the newest run that has ended; {relative} is interrupted\n"
    )
    listed = dlcli("runs", "list").out.splitlines()
    assert listed[-1].split()[:3] == [f"{copy.parent.name}/{copy.name}", "interrupted", "accuracy"]
    assert listed[-1].split()[-2] == "0/2"


def test_tables_drop_columns_on_a_narrow_terminal_and_keep_names_whole(
    dlcli: Callable[..., Finished], clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dlcli("train", *QUICK).code == 0
    (run,) = clean_place.glob("runs/*/*")
    name = str(run.relative_to(clean_place / "runs"))
    monkeypatch.setenv("COLUMNS", "30")
    assert len(dlcli("runs", "list").out.splitlines()[1]) > 60, "in a pipe, tables have any width"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert len(dlcli("runs", "list").out.splitlines()[1]) > 60, "colours do not make it a terminal"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    heading, row = (re.sub(r"\x1b\[[\d;]*m", "", line) for line in dlcli("runs", "list").out.splitlines())
    assert heading.split() == ["run", "status", "val"]
    assert row.startswith(f"{name}  finished  accuracy 0.")


def test_a_run_that_stops_early_says_why(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    stopping = ("early_stopping={monitor: val/accuracy, patience: 1, min_delta: 0.9}", "training.epochs=9")
    done = dlcli("train", "digits", *stopping, "--run-dir", "run")
    assert "status    stopped early: val/accuracy has not improved for 1 epoch (best: epoch 1)" in done.out
    assert "trained for 2 epochs in" in done.err
    assert done.err.rstrip().endswith("; stopped early")
    assert "stopped early" not in dlcli("train", "digits", "training.epochs=1").out


def test_columns_of_tables_are_aligned_in_ascii(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    rows = "\n".join(f"{i % 7},{i % 5},{'Äpfel' if i % 2 else 'Kiwi'}" for i in range(120))
    Path("t.csv").write_text(f"x,y,kind\n{rows}\n", encoding="utf-8")
    Path("t.yaml").write_text("task: classification\ndata: {name: csv, path: t.csv, target: kind}\n")
    assert dlcli("train", "t.yaml", "training.epochs=1", "-q").code == 0
    done = run_process(["eval", "--no-baselines"], env={**os.environ, "PYTHONIOENCODING": "ascii"})
    start = next(i for i, line in enumerate(done.out.splitlines()) if line.startswith("class "))
    heading, *classes = done.out.splitlines()[start : start + 3]
    assert classes[1].startswith("\\xc4pfel ") or classes[0].startswith("\\xc4pfel ")
    assert len({len(line) for line in (heading, *classes)}) == 1
