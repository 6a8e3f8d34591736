from __future__ import annotations

import io

import pytest
from rich.console import Console

from dlcli.reporters.live import RichReporter, sparkline
from dlcli.reporters.plain import PlainReporter
from dlcli.training.events import EpochEnded, FitEnded, RunStarted, StepEnded

STARTED = RunStarted("runs/a", (("data", "odd [/name] \x1b[31m"), ("model", "8-4")), ("careful",), 120, 10, "accuracy")


def epoch(number: int) -> EpochEnded:
    val = {"loss": 1 / number, "accuracy": 0.5}
    return EpochEnded(number, number * 10, 0.1, 1.25, val, 0.5, 1000.0, is_best=number == 2)


def events() -> list[RunStarted | StepEnded | EpochEnded | FitEnded]:
    return [STARTED, StepEnded(1, 3, 2.0, 10.0), *(epoch(i) for i in range(1, 121)), FitEnded(120, "epochs", 2, 0.5)]


def test_plain_reporter_writes_one_line_per_epoch_without_escape_codes() -> None:
    stream = io.StringIO()
    reporter = PlainReporter(stream)
    for event in events():
        reporter.handle(event)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "data      odd [/name] \\x1b[31m"
    assert lines[2] == "note: careful"
    assert len(lines) == 3 + 120
    expected = "epoch   2/120  train loss 1.2500  val loss 0.5000  val accuracy 0.5000  lr 0.1  0.50 s  best"
    assert lines[4] == expected
    assert "\x1b" not in stream.getvalue()


def test_rich_reporter_draws_a_table_and_a_curve_and_restores_the_terminal() -> None:
    stream = io.StringIO()
    reporter = RichReporter(Console(file=stream, force_terminal=True, width=80, _environ={}))
    for event in events():
        reporter.handle(event)
    reporter.close()
    text = stream.getvalue()
    assert "odd [/name] \\x1b[31m" in text, "markup in text of users must not be interpreted"
    assert "█" in text
    rows = [line for line in text.splitlines() if " 1.2500 " in line and "/s" not in line]
    assert 40 <= len(rows) <= 60, "a long run shows every n-th epoch"
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0, "the cursor must be visible at the end"


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0], "▁"), ([3, 3], "▁▁"), ([0, 7], "▁█"), ([2**i for i in range(8)], "▁▂▃▄▅▆▇█"), ([1, 1, 7, 7], "▁█")],
)
def test_sparkline_uses_a_logarithmic_scale(values: list[float], expected: str) -> None:
    assert sparkline(values, 8 if len(values) > 4 else 2) == expected
