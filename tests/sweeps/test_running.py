"""Tests of sweeps in this process: unusual trials, failures, time, joining, several seeds, and the test split."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs the extra dlcli[sweep]")

from conftest import Finished
from faults.crew import SETTINGS, check_values, clear, only_sweep, outcome, write_config

from dlcli import api
from dlcli.config.load import load_config
from dlcli.config.schema import Config
from dlcli.data.sources import load_splits
from dlcli.data.splits import Splits
from dlcli.errors import DataError, Interrupted, UsageError
from dlcli.runs.folder import GroupFolder
from dlcli.runs.group.records import read_logs
from dlcli.runs.manifest import describe_start
from dlcli.sweeps.sweep import read_sweep
from dlcli.sweeps.trials import read_trials
from dlcli.training.events import Event, GroupStarted, TrialEnded
from dlcli.training.listeners import Listeners

LR = {"optimizer.lr": {"min": 0.01, "max": 10.0, "log": True}}


@pytest.fixture(autouse=True)
def without_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip fsync, which no test here needs."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def table(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(only_sweep(folder).table.read_text().splitlines()))


def stop_after(trials: int, signum: int = signal.SIGTERM) -> Listeners:
    """Return listeners that ask to stop when this number of trials have ended."""
    ended: list[Event] = []

    def listen(event: Event) -> None:
        if isinstance(event, TrialEnded):
            ended.append(event)

    return Listeners(listen, should_stop=lambda: signum if len(ended) >= trials else None)


@pytest.mark.parametrize("generation", [None, 4])
def test_trials_with_other_lengths_data_and_precision_are_those_of_training_alone(
    clean_place: Path, generation: int | None
) -> None:
    space = {
        **LR,
        "training.epochs": [2, 4, 7],
        "data.normalize": ["standard", "none"],
        "training.precision": ["float64", "float32"],
        "early_stopping.patience": [1, 2],
    }
    write_config(clean_place, space=space, generation=generation, trials=12, pruner={"name": "asha", "factor": 2})
    result = api.sweep("tune.yaml", ["seed=3", "checkpoint.monitor=val/accuracy", "early_stopping.monitor=val/loss"])
    rows = table(clean_place)
    epochs = {int(row["epochs"]) for row in rows if row["state"] == "finished"}
    assert result.status == "finished"
    assert len(epochs) > 1
    check_values(clean_place, list(range(12)))


def test_a_worker_reads_the_data_of_all_trials_once(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Config] = []

    def load(config: Config, **options: Any) -> Splits:
        loads.append(config)
        return load_splits(config, **options)

    write_config(clean_place, trials=8, generation=4, pruner={"name": "asha", "factor": 2})
    monkeypatch.setattr("dlcli.experiment.load_splits", load)
    assert api.sweep("tune.yaml").trials["finished"]
    assert len(loads) == 2, "one of them checks the data before the sweep begins"


def test_several_seeds_per_trial_are_a_group_whose_mean_counts(clean_place: Path) -> None:
    space = {"optimizer.lr": [0.1, 1.0], "optimizer.momentum": [0.0, 0.9]}
    write_config(clean_place, space=space, sampler="grid", seeds_per_trial=3, pruner="none", trials=4)
    with pytest.raises(Interrupted):
        api.sweep("tune.yaml", listeners=stop_after(1))
    result = api.sweep("tune.yaml")
    assert result.trials["finished"] == 4
    sweep = only_sweep(clean_place)
    for row in table(clean_place):
        alone = api.train_seeds(
            sweep.trial(int(row["trial"])) / "resolved.yaml", seeds=3, run_dir=f"alone{row['trial']}"
        )
        losses = [seed.val["loss"] for seed in alone.seeds if seed.val]
        assert float(row["value"]) == sum(losses) / 3
        assert int(row["epochs"]) == 12


@pytest.mark.parametrize("generation", [None, 4])
def test_trials_of_several_seeds_are_pruned_by_the_mean_of_their_best_values(
    clean_place: Path, generation: int | None
) -> None:
    space = {"optimizer.lr": {"min": 0.001, "max": 1.0, "log": True}, "early_stopping.patience": [1, 4]}
    settings = {"seeds_per_trial": 2, "pruner": {"name": "asha", "factor": 2}, "trials": 8, "generation": generation}
    write_config(clean_place, space=space, **settings)
    with pytest.raises(Interrupted):
        api.sweep("tune.yaml", listeners=stop_after(3))
    assert api.sweep("tune.yaml").trials["pruned"] > 1
    sweep = read_sweep(only_sweep(clean_place))
    with sweep.read_study() as study:
        records = read_trials(study, sweep)
    for record in records:
        alone = api.train_seeds(sweep.config_of(record.settings), seeds=2, run_dir=f"alone{record.number}")
        logs, expected = (
            [[row["val/loss"] for row in rows] for rows in read_logs(GroupFolder(path)).values()]
            for path in (sweep.folder.trial(record.number), Path(alone.run))
        )
        assert logs == [losses[: len(log)] for losses, log in zip(expected, logs, strict=True)]
        assert record.epochs == sum(len(log) for log in logs)
        for epoch, value in record.levels.items():
            assert value == fmean(min(losses[:epoch]) for losses in expected)
        if record.state == "pruned":
            assert all(len(log) <= max(record.levels) for log in logs)


def test_a_diverged_seed_ends_a_trial_at_the_next_comparison(clean_place: Path) -> None:
    space = {"optimizer.lr": [0.1, 1e9]}
    write_config(clean_place, space=space, sampler="grid", seeds_per_trial=2, pruner="asha", trials=2)
    api.sweep("tune.yaml")
    assert [row["state"] for row in table(clean_place)] == ["finished", "diverged"]


def test_a_diverged_seed_makes_the_trial_diverged(clean_place: Path) -> None:
    space = {"optimizer.lr": [0.1, 1e9]}
    write_config(clean_place, space=space, sampler="grid", seeds_per_trial=2, pruner="none", trials=2)
    api.sweep("tune.yaml")
    assert [row["state"] for row in table(clean_place)] == ["finished", "diverged"]


@pytest.mark.parametrize("generation", [None, 3])
def test_a_trial_that_cannot_read_its_data_stays_and_goes_on(clean_place: Path, generation: int | None) -> None:
    lines = [f"{i * 37 % 101},{i * 17 % 89},{'ab'[i % 2]}" for i in range(300)]
    data = Path("data.csv")
    data.write_text("\n".join(["x,y,label", *lines]) + "\n")
    settings = {**SETTINGS, "data": {"name": "csv", "path": "data.csv", "target": "label"}}
    space = {**LR, "data.normalize": ["standard", "none", "unit"]}
    write_config(clean_place, base=settings, space=space, generation=generation, trials=6, sampler="random")
    api.sweep("tune.yaml")
    expected = outcome(clean_place)
    clear(clean_place)

    def hide(event: Event) -> None:
        if isinstance(event, TrialEnded) and data.exists():
            data.rename("hidden.csv")

    with pytest.raises(DataError, match=r"data\.csv"):
        api.sweep("tune.yaml", listeners=Listeners(hide))
    Path("hidden.csv").rename(data)
    api.sweep("tune.yaml")
    assert outcome(clean_place) == expected


def test_a_stopped_sweep_and_one_whose_time_is_over_go_on_to_the_same_trials(
    clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(clean_place, generation=4, trials=8, confirm_seeds=2, seconds=1e6)
    api.sweep("tune.yaml")
    expected, confirmed = outcome(clean_place), json.loads(only_sweep(clean_place).summary.read_text())["confirmation"]
    clear(clean_place)
    with pytest.raises(Interrupted) as stopped:
        api.sweep("tune.yaml", listeners=stop_after(4))
    assert stopped.value.exit_code == 143
    looks = iter(range(10**9))
    with monkeypatch.context() as patch:  # the time is over in the middle of a trial
        patch.setattr("dlcli.sweeps.sweep.Sweep.is_over", lambda _: next(looks) > 3)
        paused = api.sweep("tune.yaml")
    assert paused.status == "paused"
    assert paused.trials["running"] > 0
    looks = iter(range(10**9))
    with monkeypatch.context() as patch:  # and then in the middle of the confirmation
        patch.setattr(
            "dlcli.sweeps.sweep.Sweep.is_over", lambda sweep: _confirms(sweep.folder.path) and next(looks) > 3
        )
        paused = api.resume_sweep("tune")
    assert (paused.status, paused.trials["running"] + paused.trials["waiting"]) == ("paused", 0)
    assert api.resume_sweep("tune").status == "finished"
    assert outcome(clean_place) == expected
    found = json.loads(only_sweep(clean_place).summary.read_text())["confirmation"]
    assert (found["means"], found["statement"]) == (confirmed["means"], confirmed["statement"])


_TIMES = r"\w*seconds|examples_per_second|started|begun|datetime_\w+|since|pid|worker_id|size"
_MASKED = re.compile(
    rf"""(?x) ("(?:{_TIMES})\\?":\s*) (?:"[^"]*"|[\d.e+-]+)
    | [0-9a-f]{{64}} | (?<=identity:)[0-9a-f]{{32}}  # checksums of the data file and of files that name it
    | ,[\d.]+,[\d.]+ (?=\r\n)  # times in metrics.csv
    | (?<=<dt>training[ ]time</dt><dd>)[^,]+ | (?<=<dt>started</dt><dd>)[^<]+  # times on the page
    | ^[\s\S]{{8}}(?={{"__metadata__) | (?<=}})[ ]*  # length and end of the header of a checkpoint, which has times"""
)


def content_of(sweep: Path) -> dict[str, list[str]]:
    """Return the sorted lines of all files, without times, processes, checksums and the name of the sweep's folder.

    The lines of several seeds are in the order in which they were written.
    """
    return {
        str(path.relative_to(sweep)): sorted(
            _MASKED.sub(r"\1-", path.read_bytes().decode("latin-1").replace(sweep.name, "-")).split("\n")
        )
        for path in sweep.rglob("*")
        if path.is_file()
    }


def _confirms(sweep: Path) -> bool:
    return any((sweep / "confirm").glob("*/group.json"))


def test_the_same_command_takes_part_and_another_config_is_refused_with_the_difference(
    clean_place: Path, dlcli: Callable[..., Finished]
) -> None:
    write_config(clean_place, trials=4, space=LR)
    with pytest.raises(Interrupted):
        api.sweep("tune.yaml", listeners=stop_after(2))
    ended = dlcli("sweep", "-c", "tune.yaml", "optimizer.momentum=0.5", "sweep.sampler=random")
    assert ended.code == 2
    assert "optimizer.momentum is 0.9 and 0.5" in ended.err
    assert 'sweep.sampler is "tpe" and "random"' in ended.err
    assert "begin another sweep with --new" in ended.err
    ended = dlcli("sweep", "-c", "tune.yaml", "sweep.trials=6")
    assert (ended.code, "sweep.trials=6`" in ended.err) == (2, True), ended.err
    ended = dlcli("sweep", "-c", "tune.yaml", "--json")
    assert (ended.code, json.loads(ended.out)["status"], json.loads(ended.out)["trials"]["finished"] > 0) == (
        0,
        "finished",
        True,
    )
    assert "taking part in sweeps/tune/" in ended.err
    before = outcome(clean_place)
    ended = dlcli("sweep", "-c", "tune.yaml")  # a job that starts after the others have ended the sweep
    assert (ended.code, "has ended; --new begins another sweep" in ended.err) == (0, True)
    assert outcome(clean_place) == before
    ended = dlcli("sweep", "--resume", "tune", "sweep.trials=6")
    assert ended.code == 0
    assert outcome(clean_place).trials.startswith(before.trials)
    assert len(table(clean_place)) == 6
    assert dlcli("sweep", "-c", "tune.yaml", "--new").code == 0
    assert len(list((clean_place / "sweeps" / "tune").glob("2*"))) == 2


def test_more_trials_or_seeds_are_confirmed_anew(clean_place: Path) -> None:
    write_config(clean_place, trials=2, confirm_seeds=2, space=LR, sampler="random", pruner="none")
    starts: list[str] = []
    listeners = Listeners(
        lambda event: starts.append(event.essentials[0][1]) if isinstance(event, GroupStarted) else None
    )
    first = api.sweep("tune.yaml", listeners=listeners).confirmation
    assert starts == ["best trial with 2 fresh seeds", "unchanged config with 2 fresh seeds"]
    more = api.resume_sweep("tune", ["sweep.trials=12", "sweep.confirm_seeds=3"])
    assert first is not None
    assert more.confirmation is not None
    assert more.best is not None
    assert more.confirmation.best != first.best
    group = json.loads((Path(more.confirmation.best) / "group.json").read_text())
    assert group["seeds"] == [1, 2, 3]
    assert load_config(Path(more.confirmation.best) / "resolved.yaml").config.optimizer.lr == pytest.approx(
        more.best.settings["optimizer.lr"], rel=0
    )


@pytest.mark.parametrize("is_evaluated", [False, True])
def test_test_labels_change_nothing_but_the_evaluation_at_the_end(clean_place: Path, is_evaluated: bool) -> None:
    draw = random.Random(0)
    rows = [(draw.gauss(0, 1), draw.gauss(0, 1), "train" if i % 4 else "test") for i in range(400)]
    settings = {**SETTINGS, "data": {"name": "csv", "path": "data.csv", "target": "label", "split": "part"}}
    write_config(clean_place, base=settings, trials=6, confirm_seeds=2, generation=3, space=LR)
    files = []
    for is_noise in (False, True):
        lines = [
            f"{x},{y},{part},{draw.choice('ab') if is_noise and part == 'test' else 'ab'[x * y > 0]}"
            for x, y, part in rows
        ]
        Path("data.csv").write_text("\n".join(["x,y,part,label", *lines]) + "\n")
        clear(clean_place)
        result = api.sweep("tune.yaml", evaluate_test=is_evaluated)
        files.append(content_of(Path(result.sweep)))
    differences = {name for name in files[0] | files[1] if files[0].get(name) != files[1].get(name)}
    groups = {"summary.json", "report.html"} | {
        str(path.relative_to(result.sweep)) for path in Path(result.sweep).glob("confirm/*/s*")
    }
    assert differences == (groups if is_evaluated else set())


def test_other_data_is_another_sweep_and_missing_data_begins_none(
    clean_place: Path, dlcli: Callable[..., Finished]
) -> None:
    settings = {**SETTINGS, "data": {"name": "csv", "path": "data.csv", "target": "label"}}
    write_config(clean_place, base=settings, trials=2, confirm_seeds=0, space=LR)
    ended = dlcli("sweep", "-c", "tune.yaml")
    assert (ended.code, "data.csv does not exist" in ended.err) == (3, True)
    assert not list(Path("sweeps").glob("*/*/"))
    draw, sweeps = random.Random(0), []
    for _ in range(2):
        rows = [f"{draw.gauss(0, 1)},{draw.choice('ab')}" for _ in range(100)]
        Path("data.csv").write_text("\n".join(["x,label", *rows]) + "\n")
        sweeps += [api.sweep("tune.yaml").sweep, api.sweep("tune.yaml").sweep]
    assert sweeps[0] == sweeps[1] != sweeps[2] == sweeps[3]


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_part_of_a_sweep_is_not_resumed_apart_and_a_sweep_keeps_its_trials(
    clean_place: Path, dlcli: Callable[..., Finished], seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(clean_place, trials=2, confirm_seeds=2, space=LR, seeds_per_trial=seeds, pruner="none")
    with pytest.raises(Interrupted):
        api.sweep("tune.yaml", listeners=stop_after(1))
    sweep = str(only_sweep(clean_place).path.relative_to(clean_place))
    ended = dlcli("train", "--resume", f"{sweep}/trials/0000", "training.epochs=9")
    assert (ended.code, f"`dlcli sweep --resume {sweep}`" in ended.err) == (2, True)
    api.sweep("tune.yaml")
    ended = dlcli("train", "--resume", f"{sweep}/confirm/unchanged-2-seeds")
    assert (ended.code, f"`dlcli sweep --resume {sweep}`" in ended.err) == (2, True)
    with monkeypatch.context() as patch:
        patch.chdir(f"{sweep}/trials/0000")
        assert dlcli("train", "--resume", ".").code == 2
    ended = dlcli("sweep", "--resume", sweep, "sweep.trials=1")
    assert (ended.code, "has 2 trials, and fewer are asked for" in ended.err) == (2, True)


def test_passwords_in_addresses_are_not_recorded() -> None:
    command = ["dlcli", "sweep", "--storage", "postgresql://me:secret@host/db", "--space", "a.b={min: 1, max: 2}"]
    assert describe_start(command)["command"] == [*command[:3], "postgresql://me:***@host/db", *command[4:]]


def test_a_journal_that_has_lost_trials_is_refused(clean_place: Path, dlcli: Callable[..., Finished]) -> None:
    write_config(clean_place, space=LR, trials=6, pruner="none")
    api.sweep("tune.yaml")
    folder = only_sweep(clean_place)
    journal = folder.path / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    for content in (b"", b"".join(lines[1:]), b"".join(lines[: len(lines) // 2])):
        journal.write_bytes(content)
        for command in (["sweep", "--resume", str(folder.path), "sweep.trials=8"], ["sweep", "show", str(folder.path)]):
            refused = dlcli(*command)
            assert refused.code == 3, command
            assert f"{journal} is damaged" in refused.err
        assert journal.read_bytes() == content
    journal.unlink()
    assert dlcli("sweep", "show", str(folder.path)).code == 3
    journal.write_bytes(b"".join(lines))
    assert dlcli("sweep", "--resume", str(folder.path), "sweep.trials=8").code == 0


def test_the_config_of_a_trial_trains_it_alone(clean_place: Path, dlcli: Callable[..., Finished]) -> None:
    write_config(clean_place, space=LR, trials=4, keep=1, pruner="none")
    result = api.sweep("tune.yaml")
    assert result.best is not None
    folder = only_sweep(clean_place)
    trained = api.train(str(folder.trial(result.best.number) / "config.yaml"), run_dir="alone")
    assert trained.val[result.metric.removeprefix("val/")] == result.best.value
    loser = next(number for number in range(4) if number != result.best.number)
    missing = dlcli("eval", str(folder.trial(loser)))
    assert missing.code == 3
    assert f"train it again with `dlcli train -c {folder.trial(loser) / 'config.yaml'}`" in missing.err


def test_trials_added_after_whole_generations_are_those_of_one_sweep(clean_place: Path) -> None:
    write_config(clean_place, space=LR, generation=4, trials=8, pruner={"name": "asha", "factor": 2})
    api.sweep("tune.yaml", ["sweep.trials=4"])
    api.resume_sweep(str(only_sweep(clean_place).path), ["sweep.trials=8"])
    added = only_sweep(clean_place).table.read_bytes()
    clear(clean_place)
    api.sweep("tune.yaml")
    assert only_sweep(clean_place).table.read_bytes() == added
    notes: list[str] = []
    listeners = Listeners(lambda _: None, notes.append)
    api.resume_sweep(str(only_sweep(clean_place).path), ["sweep.trials=10"], listeners=listeners)
    assert not [note for note in notes if "generation" in note]
    api.resume_sweep(str(only_sweep(clean_place).path), ["sweep.trials=11"], listeners=listeners)
    assert [note for note in notes if note.startswith("the last generation had 2 instead of 4 trials")]


def test_a_setting_is_given_once(clean_place: Path, dlcli: Callable[..., Finished]) -> None:
    write_config(clean_place, space=LR)
    refused = dlcli("sweep", "-c", "tune.yaml", "--space", "optimizer.lr=[1, 2]", "--space", "optimizer.lr=[3]")
    assert refused.code == 2
    assert "--space optimizer.lr is given twice" in refused.err


def test_a_new_sweep_takes_over_no_trials_from_a_database(clean_place: Path) -> None:
    write_config(clean_place, space=LR, trials=2, confirm_seeds=0)
    api.sweep("tune.yaml", storage="sqlite:///a.db")
    with pytest.raises(UsageError, match="has the trials of a sweep 'tune', which a new one would take over"):
        api.sweep("tune.yaml", storage="sqlite:///a.db", new=True)
    assert only_sweep(clean_place).summary.exists()
    assert api.sweep("tune.yaml", ["name=tune-2"], storage="sqlite:///a.db", new=True).status == "finished"
