from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pyte
import pytest
from rich.console import Console, ConsoleDimensions

from dlcli.reporters.formats import format_lr, format_rate, sparkline
from dlcli.reporters.live import RichReporter
from dlcli.reporters.notebook import NotebookReporter
from dlcli.reporters.plain import PlainReporter
from dlcli.text import format_seconds
from dlcli.training.events import (
    EpochEnded,
    Event,
    FitEnded,
    GroupEnded,
    GroupProgress,
    GroupStarted,
    RunStarted,
    StepEnded,
    SweepEnded,
    SweepStarted,
    TrialEnded,
)

STARTED = RunStarted("runs/a", (("data", "odd [/name] \x1b[31m"), ("model", "8-4")), ("careful",), 120, 10, "accuracy")


def epoch(number: int) -> EpochEnded:
    val = {"loss": 1 / number, "accuracy": 0.5}
    return EpochEnded(number, number * 10, 0.1, 1.25, val, 0.5, 1000.0, is_best=number == 2)


def events() -> list[Event]:
    return [STARTED, StepEnded(1, 3, 2.0, 10.0), *(epoch(i) for i in range(1, 121)), FitEnded(120, "epochs", 2, 0.5)]


def test_plain_reporter_writes_ten_lines_of_many_short_epochs_without_escape_codes() -> None:
    stream = io.StringIO()
    reporter = PlainReporter(stream, clock=lambda: 0.0)
    for event in events():
        reporter.handle(event)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "data      odd [/name] \\x1b[31m"
    assert lines[2] == "note: careful"
    assert [int(line.split()[1].partition("/")[0]) for line in lines[3:-1]] == [1, *range(12, 121, 12)]
    assert lines[-1] == "trained for 120 epochs in 0 ms"
    assert lines[4] == "epoch  12/120  train loss 1.2500  val loss 0.0833  val accuracy 0.5000  lr 0.1  0.50 s"
    assert "\x1b" not in stream.getvalue()


def test_reporters_show_train_loss_without_a_validation_split() -> None:
    plain, terminal = io.StringIO(), io.StringIO()
    for reporter in (PlainReporter(plain), RichReporter(Console(file=terminal, force_terminal=True, width=80))):
        for event in (STARTED, replace(epoch(12), val={}, is_best=True), FitEnded(1, "epochs", 1, 0.5)):
            reporter.handle(event)
    assert "epoch  12/120  train loss 1.2500  lr 0.1  0.50 s  best" in plain.getvalue()
    assert "train loss, log" in terminal.getvalue()


def test_plain_reporter_writes_every_long_epoch() -> None:
    stream, times = io.StringIO(), itertools.count(0.0, 6.0)
    reporter = PlainReporter(stream, clock=lambda: next(times))
    for event in events():
        reporter.handle(event)
    assert len(stream.getvalue().splitlines()) == 3 + 120 + 1


@pytest.mark.parametrize("width", [40, 50, 60, 80, 120])
def test_rich_reporter_fits_a_narrow_terminal(width: int) -> None:
    screen = pyte.Screen(width, 90)
    draw(screen, events())
    lines = [line.rstrip() for line in screen.display]
    heading = next(line for line in lines if line.lstrip().startswith("epoch  "))
    rows = [line for line in lines if re.match(r" +\d+ ", line)]
    assert len(rows) > 20
    assert heading.endswith("val accuracy") or width >= 60
    assert all(len(row.removesuffix("  best")) == len(heading) for row in rows), "rows are not wrapped"
    assert "━━━━━━━━" in lines[lines.index(rows[-1]) + 2]
    assert re.search(r"in [\d.]+ m?s$", lines[lines.index(rows[-1]) + 2])


def test_rich_reporter_leaves_no_remains_after_a_resize() -> None:
    screen = pyte.Screen(120, 100)
    half = events()[:30]
    draw(screen, half, then=lambda: screen.resize(100, 60), rest=events()[30:])
    text = [line.rstrip() for line in screen.display if line.strip()]
    assert sum("val loss, log" in line for line in text) == 1
    assert sum("━━━" in line for line in text) == 1
    assert any(line.startswith("data ") for line in text), "the overview is drawn again"


def draw(
    screen: pyte.Screen,
    first: Sequence[Event],
    then: Callable[[], None] = lambda: None,
    rest: Sequence[Event] = (),
) -> None:
    """Send events to a reporter on the screen of a terminal, which may change in between."""
    stream = pyte.Stream(screen)

    class Terminal(io.StringIO):
        def write(self, text: str) -> int:
            stream.feed(text.replace("\n", "\r\n"))
            return len(text)

    class Sized(Console):
        @property
        def size(self) -> ConsoleDimensions:
            return ConsoleDimensions(screen.columns, screen.lines)

    reporter = RichReporter(Sized(file=Terminal(), force_terminal=True, _environ={}))
    for event in first:
        reporter.handle(event)
    then()
    for event in rest:
        reporter.handle(event)
    reporter.close()


def test_rich_reporter_draws_a_table_and_a_curve_and_restores_the_terminal() -> None:
    stream = io.StringIO()
    reporter = RichReporter(Console(file=stream, force_terminal=True, width=80, _environ={}))
    for event in events():
        reporter.handle(event)
    reporter.close()
    text = stream.getvalue()
    assert "odd [/name] \\x1b[31m" in text, "markup in text of users must not be interpreted"
    assert "█" in text
    rows = [line for line in text.splitlines() if " 1.2500 " in line and "━" not in line]
    assert 40 <= len(rows) <= 60, "a long run shows every n-th epoch"
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0, "the cursor must be visible at the end"


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0], "▁"), ([3, 3], "▁▁"), ([0, 7], "▁█"), ([2**i for i in range(8)], "▁▂▃▄▅▆▇█"), ([1, 1, 7, 7], "▁█")],
)
def test_sparkline_uses_a_logarithmic_scale(values: list[float], expected: str) -> None:
    assert sparkline(values, 8 if len(values) > 4 else 2) == expected


def test_durations_rates_and_learning_rates_are_short() -> None:
    durations = {0.0004: "0 ms", 0.012: "12 ms", 0.52: "0.52 s", 7.44: "7.4 s", 125.0: "2:05 min", 3725.0: "1:02:05 h"}
    assert {value: format_seconds(value) for value in durations} == durations
    rates = {85.0: "85 examples/s", 8_300.0: "8.30 k examples/s", 1_083_000.0: "1.08 M examples/s"}
    assert {value: format_rate(value) for value in rates} == rates
    assert (format_lr(6.99e-7, 0.05), format_lr(0.01234, 0.05)) == ("0", "0.0123")


def group_events(seeds: int, epochs: int) -> list[Event]:
    started = GroupStarted("runs/g", (("seeds", f"0 to {seeds - 1}"),), ("careful",), seeds, seeds * epochs, "accuracy")
    reports = [GroupProgress(done, 0, 0, 1 / done, 0.5) for done in range(1, seeds * epochs + 1)]
    return [started, *reports, GroupEnded(GroupProgress(seeds * epochs - 3, seeds, 1, 0.1, 0.875))]


def test_plain_reporter_writes_ten_lines_about_a_thousand_seeds() -> None:
    stream = io.StringIO()
    reporter = PlainReporter(stream, clock=lambda: 0.0)
    for event in group_events(1000, 40):
        reporter.handle(event)
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["seeds     0 to 999", "note: careful"]
    assert lines[2] == "epochs  4,000/40,000  0 of 1,000 seeds done  mean val accuracy 0.5000"
    assert len(lines) == 2 + 10 + 1
    assert lines[-1] == "trained for 39,997 epochs in 0 ms: 999 of 1,000 seeds done, 1 diverged"


@pytest.mark.parametrize("width", [40, 60, 100])
def test_rich_reporter_draws_one_bar_for_a_group(width: int) -> None:
    screen = pyte.Screen(width, 40)
    draw(screen, group_events(20, 10))
    shown = [line.rstrip() for line in screen.display if line.strip()]
    assert "197/200 epochs" in shown[-1]
    assert sum("epochs" in line for line in shown) == 1
    assert re.search(r"in [\d.]+ m?s$", shown[-1])


def test_notebook_reporter_shows_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    reporter = NotebookReporter()
    monkeypatch.setattr(reporter, "_show", lambda *, at_once: shown.append(reporter._as_html()))
    for event in group_events(20, 10):
        reporter.handle(event)
    assert '<progress max="200" value="197"' in shown[-1]
    assert "19 of 20 seeds done, 1 diverged, mean val accuracy 0.8750" in shown[-1]


def sweep_events(trials: int) -> list[Event]:
    settings = "hidden 64-64, adam, lr 0.0005324, weight decay 0.001088, batch 128, no nesterov"
    started = SweepStarted("sweeps/s", (("search", "by [tpe]"),), ("careful",), trials, 2)
    states = ["finished", "pruned", "diverged"]
    ends = [
        TrialEnded(
            number=number,
            state=states[number % 3],
            metric="val/accuracy",
            value=None if number % 3 == 2 else number / trials,
            epochs=max(1, number),
            settings=settings,
            is_best=number % 3 == 0,
            ended=number + 1,
        )
        for number in range(2, trials)
    ]
    return [started, *ends, SweepEnded()]


def test_plain_reporter_writes_a_line_for_each_trial() -> None:
    stream = io.StringIO()
    reporter = PlainReporter(stream, clock=lambda: 0.0)
    for event in sweep_events(12):
        reporter.handle(event)
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["search    by [tpe]", "note: careful"]
    assert lines[2].startswith("trial  2  val accuracy –    2 epochs  diverged  hidden 64-64, adam")
    assert lines[3].startswith("trial  3  val accuracy 0.2500    3 epochs  best      hidden 64-64, adam")
    assert lines[-1] == "ran trials for 0 ms"
    assert len(lines) == 2 + 10 + 1


@pytest.mark.parametrize("width", [40, 60, 100])
def test_rich_reporter_draws_one_bar_for_a_sweep(width: int) -> None:
    screen = pyte.Screen(width, 80)
    draw(screen, sweep_events(12))
    shown = [line.rstrip() for line in screen.display if line.strip()]
    assert shown[-1].startswith("12/12 trials")
    assert sum("12/12" in line for line in shown) == 1
    assert re.search(r"in [\d.]+ m?s$", shown[-1])
    assert ("best val accuracy 0.7500" in shown[-1]) == (width == 100)
    assert sum(line.startswith("trial ") for line in shown) == 10
    assert all(line.startswith(("trial", "search", "note:", "12/12", " ")) for line in shown), "aligned below the text"


def test_rich_reporter_draws_another_bar_for_each_group_after_a_sweep() -> None:
    screen = pyte.Screen(100, 80)
    draw(screen, [*sweep_events(12), *group_events(20, 10), *group_events(4, 5)])
    shown = [line.rstrip() for line in screen.display if "/" in line]
    assert [line.split()[0] for line in shown] == ["12/12", "197/200", "17/20"]


def test_notebook_reporter_shows_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    reporter = NotebookReporter()
    monkeypatch.setattr(reporter, "_show", lambda *, at_once: shown.append(reporter._as_html()))
    for event in sweep_events(24):
        reporter.handle(event)
    assert '<progress max="24" value="24"' in shown[-1]
    assert "24 of 24 trials in " in shown[-1]
    assert "best val accuracy 0.8750: trial 21" in shown[-1]
    assert shown[-1].count("\ntrial ") == 10, "the last trials"
