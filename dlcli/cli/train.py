"""dlcli train."""

from __future__ import annotations

import signal
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlcli.cli.output import (
    DeviceOption,
    JsonOption,
    ProgressOption,
    QuietOption,
    open_reporter,
    print_json,
    print_result,
    print_warnings,
)
from dlcli.training.events import Event, FitEnded, RunStarted

if TYPE_CHECKING:
    from dlcli.api import TrainResult


def _complete_config(incomplete: str) -> list[str]:
    from dlcli.config.presets import presets

    return [name for name in presets() if name.startswith(incomplete)]


def train_command(
    config: Annotated[
        str,
        typer.Option(
            "--config", "-c", metavar="CONFIG", help="A YAML file, or a preset's name.", autocompletion=_complete_config
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Settings that go before the config's: optimizer.lr=0.5"),
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", metavar="DIR", help="Folder to make for this run.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Short for seed=N.")] = None,
    device: DeviceOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and show the plan.")] = False,
    evaluate_test: Annotated[
        bool, typer.Option("--eval", help="Afterwards measure the best checkpoint on the test split.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Train a model and leave a run folder behind.

    Example: dlcli train -c digits optimizer.lr=0.2 --eval
    """
    from dlcli.config.load import load_config

    options = [f"seed={seed}"] if seed is not None else []
    options += [f"training.device={device}"] if device is not None else []
    loaded = load_config(config, [*(overrides or ()), *options])

    print_warnings(() if quiet else loaded.warnings)

    from dlcli import api

    if dry_run:
        planned = api.plan(loaded)
        if json:
            print_json({"plan": dict(planned.essentials), "epochs": planned.epochs, "notes": planned.notes})
        else:
            print_result(*(f"{heading:<9} {text}" for heading, text in planned.essentials))
        return
    reporter, signals = open_reporter(progress, quiet=quiet), _StopSignals()

    def listen(event: Event) -> None:
        signals.watch(event)
        reporter.handle(event)

    try:
        result = api.train(
            loaded,
            run_dir=run_dir,
            evaluate_test=evaluate_test,
            listen=listen,
            notify=reporter.note,
            should_stop=lambda: signals.received,
        )
    finally:
        signals.restore()
        reporter.close()
    if json:
        print_json(_json_object(result))
    else:
        print_result(*_summary(result))


class _StopSignals:
    """While the model trains, the first SIGINT or SIGTERM becomes a wish to stop; a second one ends the process.

    Before and after, when there is nothing to save, they end it as they always do.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def watch(self, event: Event) -> None:
        """Begin with the first event of a run, end with the last."""
        if isinstance(event, RunStarted):
            self._before = {one: signal.signal(one, self._note) for one in (signal.SIGINT, signal.SIGTERM)}
        elif isinstance(event, FitEnded):
            self.restore()

    def restore(self) -> None:
        """Give the signals back; nothing happens if they were not taken."""
        for one, handler in self._before.items():
            signal.signal(one, handler)
        self._before = {}

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self.received = signum
        for one in self._before:
            signal.signal(one, signal.SIG_DFL)


def _json_object(result: TrainResult) -> dict[str, object]:
    return {key: value for key, value in asdict(result).items() if key != "test" or value is not None}


def _summary(result: TrainResult) -> list[str]:
    lines = [
        f"run       {result.run}",
        f"best      epoch {result.best_epoch} of {result.epochs}, {result.best_because}",
        f"val       {_figures(result.val)}",
    ]
    if result.test is None:
        lines.append(f"next      dlcli eval {result.run}")
    else:
        lines.append(f"test      {_figures(result.test)}")
        lines.append(f"next      dlcli predict {result.run}")
    return lines


def _figures(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if isinstance(value, float))
