"""Argument parsing of every command: path expansion and repeated options."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main
from conftest import Finished

from dlcli.cli import app
from dlcli.config.paths import escape_path
from dlcli.errors import UsageError

# Expanded outside the argument parser: configs in config.load, data folders in config.load and config.paths.
METAVARS = ("DIR", "FILE", "RUN", "CONFIG", "A", "B")
PATHS_BY_CONFIG = {"config", "configs", "data_root", "root", "first", "second"}


def commands(command: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    command = typer.main.get_command(app) if command is None else command
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*words, name))


def options_with_one_value() -> list[tuple[tuple[str, ...], str]]:
    return [
        (words, option)
        for words, command in commands()
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.multiple and not parameter.is_flag
        for option in parameter.opts[:1]
    ]


@pytest.mark.parametrize(("words", "option"), options_with_one_value(), ids=str)
def test_repeating_a_single_value_option_is_an_error(
    dlcli: Callable[..., Finished], words: tuple[str, ...], option: str
) -> None:
    """The error does not depend on the values: not even an invalid value hides the repetition."""
    command = dict(commands())[words]
    parameter = next(parameter for parameter in command.params if option in parameter.opts)
    done = dlcli(*words, option, "3", option, "3", *([] if words else ["runs", "list"]))
    assert done.code == 2
    assert f"{parameter.opts[0]}" in done.err
    assert "is given 2 times" in done.err, done.err


def test_single_value_options_are_found_in_every_command_group() -> None:
    options = options_with_one_value()
    assert len(options) > 30
    assert {((), "--progress"), (("train",), "--config"), (("config", "init"), "--data")} <= set(options)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["train", "-c", "digits", "--config=moons"], "--config/-c"),
        (["train", "-cdigits", "-c", "moons"], "--config/-c"),
        (["eval", "--baselines", "--no-baselines"], "--baselines/--no-baselines"),
        (["plot", "-o", "a", "loss", "--output", "b"], "--output/-o"),
    ],
)
def test_short_long_and_negated_forms_count_as_one_option(
    dlcli: Callable[..., Finished], arguments: list[str], option: str
) -> None:
    done = dlcli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert f"error: {option} is given 2 times" in done.err


def test_repeatable_arguments_are_accepted(dlcli: Callable[..., Finished]) -> None:
    repeated = dlcli("eval", "nothing", "--fail-under", "accuracy=0", "--fail-under", "macro_f1=0", "--quiet", "-q")
    assert "run 'nothing' not found" in repeated.err
    later_wins = dlcli("config", "show", "digits", "seed=1", "seed=2", "--json")
    assert '"seed": 2' in later_wins.out
    assert dlcli("--json", "config", "list", "--json").code == 0, "an option before the command is only a default"
    assert "--config" in dlcli("train", "-c", "a", "-c", "b", "--help").out, "--help takes precedence"


def test_every_path_argument_is_expanded() -> None:
    count = 0
    for words, command in commands():
        for parameter in command.params:
            is_path = parameter.metavar in METAVARS and parameter.name not in PATHS_BY_CONFIG
            parser = parameter.type_descriptor.parameter_info.parser if is_path else None
            if is_path:
                count += 1
                with pytest.raises(UsageError, match="DLCLI_NOT_SET is not set"):
                    parser("$DLCLI_NOT_SET/x")
            elif hasattr(parameter, "type_descriptor"):
                assert Path not in (annotation := parameter.type_descriptor.annotation, *get_args(annotation)), words
    assert count >= 12


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "-c", "{}/x.yaml"],
        ["train", "-c", "digits", "--run-dir", "{}/x"],
        ["train", "--resume", "{}/x"],
        ["train", "-c", "fashion_mnist", "data.root={}/x"],
        ["eval", "{}/x"],
        ["predict", "{}/x"],
        ["verify", "{}/x"],
        ["export", "{}/x", "--format", "torch"],
        ["plot", "-o", "{}/x"],
        ["report", "-o", "{}/x.html"],
        ["runs", "show", "{}/x"],
        ["runs", "compare", "a", "{}/x"],
        ["runs", "compare", "a", "b", "--html", "{}/x"],
        ["study", "mse-vs-cross-entropy", "-o", "{}/x"],
        ["bench", "-c", "{}/x.yaml"],
        ["explain", "-c", "{}/x.yaml"],
        ["gradcheck", "-c", "{}/x.yaml"],
        ["config", "init", "-o", "{}/x.yaml"],
        ["config", "schema", "-o", "{}/x.json"],
        ["config", "show", "{}/x.yaml"],
        ["config", "validate", "{}/x.yaml"],
        ["config", "diff", "digits", "{}/x"],
        ["config", "diff", "digits", "{}/x.yaml"],
        ["data", "check", "fashion_mnist", "--root", "{}/x"],
        ["data", "fetch", "fashion_mnist", "--root", "{}/x"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("start", "words"), [("$DLCLI_NOT_SET", "DLCLI_NOT_SET is not set"), ("~no-such-user", "no user 'no-such-user'")]
)
def test_a_path_that_cannot_be_expanded_creates_nothing(
    dlcli: Callable[..., Finished], clean_place: Path, arguments: list[str], start: str, words: str
) -> None:
    done = dlcli(*(argument.format(start) for argument in arguments))
    assert done.code == 2
    assert words in done.err
    assert list(clean_place.iterdir()) == []


def test_run_folders_expand_home_and_variables(
    dlcli: Callable[..., Finished], clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(clean_place / "home"))
    monkeypatch.setenv("PLACE", str(clean_place / "place"))
    monkeypatch.setenv("DLCLI_RUNS", "$PLACE/runs")
    quick = ["train", "-c", "digits", "training.epochs=1", "model.hidden_sizes=[]", "--quiet"]
    assert dlcli(*quick).code == 0
    assert dlcli(*quick, "--run-dir", "~/a").code == 0
    assert dlcli("eval", "~/a", "--quiet", "--no-baselines").code == 0
    assert dlcli("config", "diff", "digits", "${HOME}/a").code == 0
    assert "digits" in dlcli("runs", "list").out
    assert {path.name for path in clean_place.iterdir()} == {"home", "place"}
    monkeypatch.setenv("DLCLI_RUNS", "$DLCLI_NOT_SET/runs")
    for arguments in (quick, ["runs", "list"], ["eval"]):
        done = dlcli(*arguments)
        assert done.code == 2
        assert "DLCLI_RUNS '$DLCLI_NOT_SET/runs': the environment variable DLCLI_NOT_SET is not set" in done.err


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9.yaml"), "./a\nseed: 7.yaml"])
def test_unusual_config_file_names_can_be_written_and_read(dlcli: Callable[..., Finished], name: str) -> None:
    assert dlcli("config", "init", "-o", name).code == 0
    assert dlcli("config", "validate", name).code == 0
    shown = dlcli("config", "show", name)
    assert shown.code == 0
    assert "seed: 0" in shown.out
    assert shown.out.isascii()


def test_a_fetched_source_can_be_printed_as_json(dlcli: Callable[..., Finished]) -> None:
    done = dlcli("data", "fetch", "digits", "--json")
    assert (done.code, json.loads(done.out)) == (0, {"name": "digits", "train": 1438, "test": 359, "sha256": {}})
    failed = dlcli("data", "fetch", "digits", "--root", "x", "--json")
    assert (failed.code, json.loads(failed.out)["error"]["kind"]) == (2, "usage")


def test_a_file_instead_of_a_folder_is_reported(
    dlcli: Callable[..., Finished], clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").touch()
    for arguments in (["data", "check"], ["data", "fetch"]):
        done = dlcli(*arguments, "fashion_mnist", "--root", "file")
        assert done.code == 3
        assert "Fashion-MNIST" in done.err
    assert dlcli("train", "-c", "fashion_mnist", "data.root=file").code == 3
    monkeypatch.setenv("DLCLI_RUNS", "file")
    done = dlcli("train", "-c", "digits", "training.epochs=1", "--quiet")
    assert done.code == 2
    assert "cannot create the run folder file/digits" in done.err
    assert dlcli("eval").code == 2
    assert dlcli("runs", "list").code == 0


@pytest.mark.parametrize("name", ["a b", "$x", "-x", "it's", "a\nstatus    fine"])
def test_unusual_run_names_keep_the_output_lines_and_the_next_command(
    dlcli: Callable[..., Finished], clean_place: Path, name: str
) -> None:
    folder = Path("runs") / name if name != "-x" else Path(name)
    written = escape_path(str(folder))
    done = dlcli("train", "-c", "moons", "training.epochs=1", f"--run-dir={written}", "-q")
    assert done.code == 0, done.err
    assert (folder / "summary.json").exists()
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "best", "val", "next"]
    if "\n" in name:
        assert "a\\nstatus" in lines[0]
        return  # a shell cannot turn the escape back into a newline
    typed = lines[-1].removeprefix("next      dlcli ")
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {typed}"], capture_output=True, text=True, check=True).stdout
    assert dlcli(*words.splitlines(), "-q").code == 0
