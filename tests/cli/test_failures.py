"""Errors as JSON on stdout."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished

from dlcli import api
from dlcli.errors import DeviceError, Interrupted

BROKEN = "data: {name: digits}\ntraining: {epocs: 1}\nmodel: {hidden_sizes: 0}\n"


def error_of(done: Finished) -> dict[str, object]:
    """Return the error of a command that printed only this error on stdout."""
    printed = json.loads(done.out)  # refuses a second object
    assert list(printed) == ["error"]
    error = printed["error"]
    assert isinstance(error, dict)
    assert error["code"] == done.code
    return error


@pytest.mark.parametrize(
    ("command", "message", "hint"),
    [
        ("eval --json --nope", "dlcli eval has no option --nope", "run `dlcli eval --help` for usage"),
        (
            "--json predict --split x",
            "--split must be train, val or test. Got 'x' instead",
            "run `dlcli predict --help` for usage",
        ),
        ("train digits --json --epochs 3", "dlcli train has no option --epochs", "write it like `training.epochs="),
        ("eval --json a b", "dlcli eval takes no further argument. Got b too", "run `dlcli eval --help` for usage"),
        ("config init --json", "dlcli config init has no option --json", "run `dlcli config init --help` for usage"),
        ("evaluate --json", "dlcli has no command 'evaluate'", "did you mean `dlcli eval`?"),
        ("--json", "Missing command", "run `dlcli --help` for usage"),
        ("--json config", "dlcli config needs a command", "run `dlcli config --help` for usage"),
        ("verify --json nothing", "run 'nothing' not found", "list the runs with `dlcli runs list`"),
        ("--json data check nothing", "unknown data source 'nothing'", "choose one of"),
    ],
)
def test_usage_errors_are_json(dlcli: Callable[..., Finished], command: str, message: str, hint: str) -> None:
    done = dlcli(*command.split())
    error = error_of(done)
    assert (error["code"], error["kind"], error["place"]) == (2, "usage", None)
    assert str(error["message"]).startswith(message)
    assert isinstance(error["hints"], list)
    assert error["hints"][0].startswith(hint)
    assert done.err.startswith(f"error: {message}")


def test_without_json_stdout_is_empty(dlcli: Callable[..., Finished]) -> None:
    assert dlcli("eval", "nothing").out == ""
    assert dlcli("train", "digits", "--", "--json").out == ""


def test_config_errors_list_their_problems(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    Path("broken.yaml").write_text(BROKEN)
    done = dlcli("train", "broken.yaml", "--json")
    misspelt, example = "did you mean `training.epochs`?", "write it like `model.hidden_sizes=[64, 32]`"
    assert error_of(done) == {
        "code": 2,
        "kind": "config",
        "message": "broken.yaml has 2 problems",
        "place": "broken.yaml:2:12",
        "hints": [misspelt, example],
        "problems": [
            {"message": "training.epocs is not a setting", "place": "broken.yaml:2:12", "hints": [misspelt]},
            {
                "message": "model.hidden_sizes must be at least 1. Got 0 instead",
                "place": "broken.yaml:3:9",
                "hints": [example],
            },
        ],
    }
    assert "2 | training: {epocs: 1}" in done.err
    validated = dlcli("config", "validate", "broken.yaml", "digits", "--json")
    assert json.loads(validated.out)["error"] == error_of(done)
    assert "error: broken.yaml has 2 problems" in validated.err
    several = json.loads(dlcli("config", "validate", "broken.yaml", "missing.yaml", "--json").out)
    assert (several["error"]["message"], len(several["problems"])) == ("2 configs are invalid", 3)


def test_data_and_divergence_errors_have_a_kind(dlcli: Callable[..., Finished]) -> None:
    missing = error_of(dlcli("--json", "data", "check", "fashion_mnist", "--root", "."))
    assert (missing["code"], missing["kind"]) == (3, "data")
    diverged = error_of(dlcli("train", "diabetes", "optimizer.lr=1e6", "model.activation=relu", "--json", "-q"))
    assert (diverged["code"], diverged["kind"]) == (5, "diverged")


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (DeviceError("no such device", hint="choose another"), 4, "device"),
        (Interrupted("stopped", signum=15), 143, "interrupted"),
        (MemoryError(), 4, "device"),
    ],
)
def test_other_errors_are_json(
    dlcli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, kind: str
) -> None:
    monkeypatch.setattr(api, "evaluate", lambda *_, **__: (_ for _ in ()).throw(error))
    reported = error_of(dlcli("eval", "some-run", "--json"))
    assert (reported["code"], reported["kind"]) == (code, kind)


def test_a_bug_is_json_and_keeps_its_traceback() -> None:
    code = (
        "import sys, dlcli.api\n"
        "dlcli.api.evaluate = lambda *_, **__: 1 / 0\n"
        "sys.argv = ['dlcli', 'eval', 'some-run', '--json']\n"
        "from dlcli.cli import main\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    done = Finished(ended.returncode, ended.stdout, ended.stderr)
    assert error_of(done)["message"] == "ZeroDivisionError: division by zero"
    assert (done.code, "Traceback" in done.err) == (1, True)


def test_a_failed_verification_has_its_error_beside_the_result(
    dlcli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = api.VerifyResult(
        run="r", identical=False, differences=["loss"], environment={}, epochs=1, step=1, compared=[], not_compared=[]
    )
    monkeypatch.setattr(api, "verify", lambda *_, **__: result)
    done = dlcli("verify", "r", "--json")
    printed = json.loads(done.out)
    assert (done.code, printed["differences"]) == (6, ["loss"])
    assert (printed["error"]["code"], printed["error"]["kind"]) == (6, "check")
    assert printed["error"]["message"] == "retraining r gave different results"
