from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished

Dlcli = Callable[..., Finished]


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        ("fit", "dlcli has no command 'fit'", "did you mean `dlcli train`?"),
        ("test", "dlcli has no command 'test'", "did you mean `dlcli eval`?"),
        ("tune", "dlcli has no command 'tune'", "did you mean `dlcli study learning-rate`?"),
        ("predcit", "dlcli has no command 'predcit'", "did you mean `dlcli predict`?"),
        ("runs lst", "dlcli runs has no command 'lst'", "did you mean `dlcli runs list`?"),
        ("xyzzy", "dlcli has no command 'xyzzy'", "run `dlcli --help` to see the commands"),
        (
            "train -c digits --epochs 3",
            "dlcli train has no option --epochs",
            "write it like `training.epochs=3`",
        ),
        (
            "train digits --batch-size=32",
            "dlcli train has no option --batch-size",
            "write it like `training.batch_size=32`",
        ),
        (
            "explain digits --learning-rate",
            "dlcli explain has no option --learning-rate",
            "write it like `optimizer.lr=VALUE`",
        ),
        ("config show digits --seed 3", "dlcli config show has no option --seed", "write it like `seed=3`"),
        ("train -c digits --xyzzy", "dlcli train has no option --xyzzy", "run `dlcli train --help` for usage"),
        (
            "train digits --optimizer adam",
            "dlcli train has no option --optimizer",
            "write it like `optimizer.name=adam`",
        ),
        ("train --data moons", "dlcli train has no option --data", "write it like `dlcli train moons`"),
        ("train --scheduler cosine", "dlcli train has no option --scheduler", "write it like `scheduler.name=cosine`"),
        ("train digits --gpu", "dlcli train has no option --gpu", "did you mean `--device cuda`?"),
        ("train --verbose", "dlcli train has no option --verbose", "did you mean `--progress plain`?"),
        ("train --output x", "dlcli train has no option --output", "did you mean `--run-dir DIR`?"),
        ("runs show --diagnos", "dlcli runs show has no option --diagnos", "did you mean `--diagnose`?"),
        ("validate", "dlcli has no command 'validate'", "did you mean `dlcli config validate`?"),
        ("clean", "dlcli has no command 'clean'", "run `dlcli --help` to see the commands"),
        (
            "eval --checkpoint latest",
            "--checkpoint must be best or last. Got 'latest' instead",
            "run `dlcli eval --help` for usage",
        ),
        (
            "study softmax-vs-l1 --seeds 1",
            "--seeds must be a whole number of at least 2. Got '1' instead",
            "run `dlcli study --help` for usage",
        ),
        ("eval digits s2 x", "dlcli eval takes no further argument. Got s2 x too", "run `dlcli eval --help` for usage"),
        ("config diff digits", "dlcli config diff needs B", "write it like `dlcli config diff A B`"),
        ("predict --index", "--index needs a value", "run `dlcli --help` for usage"),
        (
            "train mnist",
            "no config file or preset is called 'mnist'",
            "mnist is a data source: create a config with `dlcli config init --data mnist -o mnist.yaml`",
        ),
        ("train mnits", "no config file or preset is called 'mnits'", "did you mean the data source `mnist`?"),
        ("eval --epochs 3", "dlcli eval has no option --epochs", "run `dlcli eval --help` for usage"),
    ],
)
def test_a_mistake_is_answered_with_the_right_command(
    dlcli: Dlcli, clean_place: Path, arguments: str, error: str, hint: str
) -> None:
    done = dlcli(*arguments.split())
    assert (done.code, done.out) == (2, "")
    assert done.err == f"error: {error}\n\nhint: {hint}\n"


def test_a_config_may_come_first_without_an_option(dlcli: Dlcli, clean_place: Path) -> None:
    plan = dlcli("train", "-c", "digits", "training.epochs=3", "model.hidden_sizes=[8, 4]", "--dry-run")
    assert "3 epochs" in plan.out
    assert dlcli("train", "digits", "training.epochs=3", "model.hidden_sizes=8,4", "--dry-run") == plan
    Path("mine.yaml").write_text("extends: digits\nmodel: {hidden_sizes: [8]}\n")
    assert "64-8-10" in dlcli("train", "mine.yaml", "--dry-run").out
    done = dlcli("train", "digits", "-c", "moons")
    assert (done.code, done.err.splitlines()[0]) == (2, "error: the config is given twice: digits, and with --config")


def test_a_run_name_with_a_typo_is_corrected(dlcli: Dlcli, clean_place: Path) -> None:
    dlcli("train", "digits", "training.epochs=1", "plots=never", "-q")
    assert dlcli("eval", "digts").err == "error: run 'digts' not found\n\nhint: did you mean `digits`?\n"
    Path("runs/relu").mkdir()
    Path("runs/relu/manifest.json").write_text("{}")
    assert dlcli("runs", "compare", "digits", "relo").err.endswith("hint: did you mean `relu`?\n")


def test_a_config_file_with_a_typo_is_corrected(dlcli: Dlcli, clean_place: Path) -> None:
    Path("spirals.yaml").write_text("data: {name: digits}\n")
    assert dlcli("train", "spirals.yml").err.endswith("hint: did you mean `spirals.yaml`?\n")
    assert dlcli("train", "spiral").err.endswith("hint: did you mean `spirals.yaml`?\n")


def test_a_note_names_the_settings_that_another_optimizer_does_not_use(dlcli: Dlcli, clean_place: Path) -> None:
    note = "note: optimizer.name=adam: optimizer.lr=0.2 and optimizer.momentum=0.9 of presets/digits.yaml are for sgd"
    for command in ("train digits --dry-run", "train digits training.epochs=1", "config show digits"):
        done = dlcli(*command.split(), "optimizer.name=adam")
        assert (done.code, " ".join(done.err.split()).count(note)) == (0, 1), done.err


def test_init_quotes_the_file_in_the_next_command(dlcli: Dlcli, clean_place: Path) -> None:
    assert "train with `dlcli train -c 'my file.yaml'`" in dlcli("config", "init", "-o", "my file.yaml").out


def run(script: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", script]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


def test_a_config_is_read_from_standard_input_and_from_a_process_substitution(clean_place: Path) -> None:
    command = f"{sys.executable} -m dlcli train --dry-run -c"
    text = "data: {name: digits}\nmodel: {hidden_sizes: [8]}\n"
    assert "64-8-10" in run(f"{command} -", text).stdout
    assert "64-8-10" in run(command.removesuffix(" --dry-run -c") + " - --dry-run", text).stdout
    assert "64-8-10" in run(f"{command} <(cat)", text).stdout
    assert run(f"{command} /dev/stdin", text).returncode == 2, "other pipes are not opened, because they could block"
    done = run(f"{command} - < /dev/null")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: stdin has 1 problem")
    assert "stdin:2:1: x is not a setting" in run(f"{command} -", "data: {name: digits}\nx: 1\n").stderr
