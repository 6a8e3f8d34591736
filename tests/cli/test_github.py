"""Annotations and job summaries for GitHub Actions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished

from dlcli.cli.github import annotate, markdown_table
from dlcli.errors import ConfigError, Problem, UsageError

BROKEN = "data: {name: digits}\ntraining: {epocs: 1}\nmodel: {hidden_sizes: 0}\n"


def annotations(done: Finished) -> list[str]:
    return [line for line in done.err.splitlines() if line.startswith("::")]


def test_config_problems_are_annotated_in_their_file(
    dlcli: Callable[..., Finished], clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("broken.yaml").write_text(BROKEN)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(clean_place.parent))
    file = f"file={clean_place.name}/broken.yaml"
    expected = [
        f"::error {file},line=2,col=12,title=Invalid config::training.epocs is not a setting"
        "%0Ahint: did you mean `training.epochs`?",
        f"::error {file},line=3,col=9,title=Invalid config::model.hidden_sizes must be at least 1. "
        "Got 0 instead%0Ahint: write it like `model.hidden_sizes=[64, 32]`",
    ]
    validated = dlcli("config", "validate", "moons", "broken.yaml", "--format", "github")
    assert (validated.code, validated.out, annotations(validated)) == (2, "moons is valid\n", expected)
    assert "error: broken.yaml has 2 problems" in validated.err
    assert annotations(dlcli("train", "broken.yaml", "--format=github")) == expected
    assert annotations(dlcli("config", "validate", "broken.yaml")) == []
    monkeypatch.delenv("GITHUB_WORKSPACE")
    assert "file=broken.yaml," in annotations(dlcli("train", "broken.yaml", "--format=github"))[0]


def test_problems_without_a_file_name_their_place(dlcli: Callable[..., Finished]) -> None:
    (line,) = annotations(dlcli("train", "digits", "optimizer.lr=-1", "--format", "github"))
    assert line.startswith("::error title=Invalid config::command line: optimizer.lr must be greater than 0")
    (line,) = annotations(dlcli("eval", "--format", "github", "--nope"))
    assert (
        line == "::error title=dlcli error::dlcli eval has no option --nope%0Ahint: run `dlcli eval --help` for usage"
    )


def test_special_characters_are_escaped(clean_place: Path) -> None:
    name = "100%,a:b.yaml"
    Path(name).write_text("")
    (line,) = annotate(ConfigError(name, [Problem(name, 1, None, "", "50%: a,\r\nb\x1b", None)]))
    assert line == "::error file=100%25%2Ca%3Ab.yaml,line=1,title=Invalid config::50%25: a,%0D%0Ab\\x1b"
    assert annotate(UsageError("a\n::error::b")) == ["::error title=dlcli error::a%0A::error::b"]
    table = markdown_table(["a|b", "value"], [["top_1", "<b>`"]])
    assert table == "| a\\|b | value |\n| --- | ---: |\n| top\\_1 | \\<b\\>\\` |"


def test_failed_checks_are_annotated_and_summarised(
    dlcli: Callable[..., Finished], clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dlcli("train", "-c", "diabetes", "training.epochs=5", "--quiet").code == 0
    summary = clean_place / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    bounds = ["--fail-over", "rmse=40", "--fail-over", "mae=30", "--fail-over", "mse=9000"]
    assert dlcli("eval", *bounds).code == 6
    assert summary.read_text() == "before\n"
    done = dlcli("eval", *bounds, "--json", "--format", "github")
    result = json.loads(done.out)
    rmse, mae, mse = (f"{result['metrics'][name]:.4f}" for name in ("rmse", "mae", "mse"))
    assert done.code == 6
    assert annotations(done) == [
        f"::error title=Failed check::rmse {rmse} is above 40",
        f"::error title=Failed check::mae {mae} is above 30",
    ]
    lines = summary.read_text().splitlines()
    assert lines[0] == "before"
    assert "| metric | this run | mean | least squares |" in lines
    assert any(line.startswith(f"| rmse | {rmse} | ") for line in lines)
    assert lines[-5:-1] == [
        "| --- | ---: | ---: |",
        f"| rmse ≤ 40 | {rmse} | failed |",
        f"| mae ≤ 30 | {mae} | failed |",
        f"| mse ≤ 9000 | {mse} | passed |",
    ]


def test_a_summary_that_cannot_be_written_is_noted(
    dlcli: Callable[..., Finished], clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dlcli("train", "-c", "diabetes", "training.epochs=1", "--quiet").code == 0
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(clean_place))
    done = dlcli("eval", "--format", "github", "--quiet")
    assert (done.code, done.err) == (0, f"note: cannot write the job summary {clean_place}: is a directory\n")
