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
        ("train -c digits --xyzzy", "No such option: --xyzzy", "run `dlcli train --help` for usage"),
        ("eval --epochs 3", "No such option: --epochs", "run `dlcli eval --help` for usage"),
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
    assert (done.code, done.err.splitlines()[0]) == (2, "error: --config/-c is given 2 times")


def test_a_run_name_with_a_typo_is_corrected(dlcli: Dlcli, clean_place: Path) -> None:
    dlcli("train", "digits", "training.epochs=1", "plots=never", "-q")
    assert dlcli("eval", "digts").err == "error: run 'digts' not found\n\nhint: did you mean `digits`?\n"


def run(script: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", script]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


def test_a_config_is_read_from_standard_input_and_from_a_process_substitution(clean_place: Path) -> None:
    command = f"{sys.executable} -m dlcli train --dry-run -c"
    text = "data: {name: digits}\nmodel: {hidden_sizes: [8]}\n"
    assert "64-8-10" in run(f"{command} -", text).stdout
    assert "64-8-10" in run(f"{command} <(cat)", text).stdout
    assert run(f"{command} /dev/stdin", text).returncode == 2, "other pipes are not opened, because they could block"
    done = run(f"{command} - < /dev/null")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: stdin has 1 problem")
    assert "stdin:2:1: x is not a setting" in run(f"{command} -", "data: {name: digits}\nx: 1\n").stderr
