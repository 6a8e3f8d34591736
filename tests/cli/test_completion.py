"""Shell completion, in Bash where it is installed, and the help."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer.main
from conftest import CHECKOUT, Finished
from typer._completion_classes import BashComplete

from dlcli.cli import app
from dlcli.plots.gallery import pictures
from dlcli.plots.names import PICTURES

COMMANDS = [
    *(command.name for command in app.registered_commands if not command.hidden),
    *(
        f"{group.name} {command.name}"
        for group in app.registered_groups
        for command in group.typer_instance.registered_commands
    ),  # type: ignore[union-attr]
]


def complete(*words: str) -> list[str]:
    """Return what Bash offers for the last word, by running dlcli's own completion script."""
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    setup = 'export PATH="$1:$PATH"; source <(dlcli --show-completion bash); shift'
    call = 'COMP_WORDS=(dlcli "$@"); COMP_CWORD=$#; _dlcli_completion dlcli; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", f"{setup}; {call}", "bash", str(Path(sys.executable).parent), *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )
    return [line for line in done.stdout.splitlines() if line]


def test_bash_completes_runs_settings_values_pictures_and_studies(
    dlcli: Callable[..., Finished], clean_place: Path
) -> None:
    assert dlcli("train", "digits", "training.epochs=1").code == 0
    (run,) = clean_place.glob("runs/digits/*")
    assert complete("eval", "di") == ["digits"]
    assert complete("eval", "digits/") == [f"digits/{run.name}"]
    assert complete("train", "-c", "fashion_mnist_l") == ["fashion_mnist_linear"]
    assert complete("train", "digits", "model.act") == [
        f"model.activation={name}"
        for name in ["sigmoid", "heaviside", "identity", "relu", "leaky_relu", "tanh", "gelu", "silu", "softplus"]
    ]
    assert complete("train", "digits", "model.activation", "=", "si") == ["sigmoid", "silu"]
    assert "optimizer.momentum" in complete("train", "digits", "optimizer.")
    assert complete("plot", "digits", "reg") == ["regions"]
    assert complete("study", "soft") == ["softmax-vs-l1"]
    assert complete("config", "explain", "optimizer.mom") == ["optimizer.momentum"]
    assert complete("study", "--vary", "model.activation", "=", "relu,ta") == ["relu,tanh"]


def test_configs_runs_settings_and_metrics_are_completed(clean_place: Path) -> None:
    Path("digital.yaml").touch()
    for name in ("digits/1", "s1"):
        Path("runs", name).mkdir(parents=True)
        Path("runs", name, "manifest.json").write_text("{}")
    command = typer.main.get_command(app)

    def offered(*words: str) -> list[str]:
        completer = BashComplete(command, {}, "dlcli", "_DLCLI_COMPLETE")
        return [item.value for item in completer.get_completions([*words[:-1]], words[-1])]

    assert offered("train", "di") == ["diabetes", "digits", "digital.yaml"]
    assert offered("train", "")[0] == "diabetes"
    assert offered("train", "digits", "model.batch") == ["model.batch_norm=false", "model.batch_norm=true"]
    assert "optimizer.lr" in offered("study", "--vary", "")
    assert offered("study", "--vary", "model.activation=relu,ta") == ["model.activation=relu,tanh"]
    assert offered("eval", "s") == ["s1"]
    assert offered("eval", "runs/") == ["runs/s1"]
    assert offered("eval", "--fail-under", "acc") == ["accuracy="]
    assert "accuracy=" not in offered("eval", "--fail-over", "")


def test_names_of_pictures_are_those_of_the_gallery() -> None:
    assert pictures.__defaults__ == (PICTURES,)


def test_completion_without_a_writable_home_is_an_error_without_a_traceback(clean_place: Path) -> None:
    (clean_place / "home").write_text("a file")
    environment = {**os.environ, "HOME": str(clean_place / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "dlcli", "--install-completion", "bash"],
        env={**environment, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot install the completion: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_two_examples_and_no_type_for_flags(dlcli: Callable[..., Finished], command: str) -> None:
    shown = dlcli(*command.split(), "--help")
    assert shown.code == 0
    assert not re.search(r"<bool>|<str>|<list", shown.out)
    assert shown.out.count("Example: dlcli ") >= 2


def test_all_examples_of_the_help_run(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    """Without examples that need a download, a long time or a run of a certain name."""
    sources = (CHECKOUT / "dlcli" / "cli").glob("*.py")
    found = {line for path in sources for line in re.findall(r"Example: (dlcli [^\n\"\\]+)", path.read_text())}
    skipped = re.compile(
        r"fetch|data check fashion|explain -c fashion|study|bench|verify digits|--processes|plot --list|schema$"
        r"|sweep -c digits"
    )
    assert dlcli("train", "digits", "training.epochs=1", "--run-dir", "runs/mine").code == 0
    Path("weather.csv").write_text(
        "wind,weather\n" + "".join(f"{i % 17},{('rain', 'sun')[i % 2]}\n" for i in range(60))
    )
    Path("tomorrow.csv").write_text("date,wind\n2026-01-01,3\n")
    Path("new.csv").write_text("wind,weather\n3,sun\n")
    space = "{optimizer.lr: [0.1, 0.2]}"
    settings = f"{{space: {space}, trials: 1, confirm_seeds: 0}}"
    Path("tune.yaml").write_text(f"extends: moons\ntraining: {{epochs: 1}}\nsweep: {settings}\n")
    data = ["data.name=csv", "data.path=weather.csv", "data.target=weather"]
    assert dlcli("train", "digits", *data, "name=weather", "training.epochs=1").code == 0
    for preset in ("digits", "moons"):
        assert dlcli("train", preset, "training.epochs=1").code == 0
    ordered = sorted(
        found - {line for line in found if skipped.search(line)},
        # A group is no run for other examples, and a sweep begins before it is resumed.
        key=lambda line: ("init --data" not in line, "--seeds" in line, "sweep --resume" in line, line),
    )
    if find_spec("optuna") is None:  # in the extra `sweep`
        ordered = [line for line in ordered if not line.startswith("dlcli sweep")]
    assert len(ordered) > 20
    for line in ordered:
        done = dlcli(*shlex.split(line)[1:])
        assert done.code in (0, 6), (line, done.err)  # 6: one epoch does not reach the accuracy of the example
