"""Groups of seeds: the same files as single runs, whatever happens to the other seeds."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Finished
from faults.outcome import outcome

from dlcli import api
from dlcli.errors import DataError, DivergedError, UsageError
from dlcli.evaluation.group_comparison import compare_groups
from dlcli.runs.find import find_group, find_run, list_runs
from dlcli.runs.folder import GroupFolder, RunFolder
from dlcli.runs.group.records import read_group
from dlcli.runs.lock import lock_run
from dlcli.training.events import GroupProgress
from dlcli.training.listeners import Listeners

QUICK = {"plots": "never"}
UNSTABLE = {
    "optimizer.name": "sgd",
    "optimizer.momentum": 0.9,
    "model.activation": "relu",
    "model.hidden_sizes": [6, 6],
    "scheduler.name": "none",
    "training.epochs": 6,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "dropout and momentum": ("digits", {"training.epochs": 3, "model.dropout": 0.2}),
    "adam and batch norm": ("digits", {"training.epochs": 2, "optimizer.name": "adam", "model.batch_norm": True}),
    "early stopping": ("diabetes", {"training.epochs": 30, "early_stopping.patience": 1}),
    "plateau": ("moons", {"training.epochs": 4, "scheduler.name": "plateau"}),
    "no validation": ("moons", {"training.epochs": 2, "data.val_fraction": 0.0}),
}


def files_of(run: Path) -> dict[str, Any]:
    """Return the files of a run that are the same for two equal runs, and the settings."""
    settings = [line.split("#")[0].strip() for line in (run / "resolved.yaml").read_text().splitlines()]
    manifest = json.loads((run / "manifest.json").read_text())
    kept = {name: manifest.get(name) for name in ("schema", "seed", "data", "class_counts", "threads", "arithmetic")}
    return {**outcome(run), "settings": settings, "manifest": kept}


def train_alone(source: str, settings: Mapping[str, Any], seed: int, **options: Any) -> Path:
    return Path(api.train(source, {**settings, "seed": seed}, run_dir=f"alone-{seed}", **options).run)


@pytest.mark.parametrize("case", CASES)
def test_a_seed_of_a_group_has_the_files_of_a_single_run(clean_place: Path, case: str) -> None:
    source, settings = CASES[case]
    settings = {**settings, **QUICK}
    result = api.train_seeds(source, {**settings, "seed": 3}, seeds=3, run_dir="group", evaluate_test=True)
    assert [record.seed for record in result.seeds] == [3, 4, 5]
    assert not Path("group/report.html").exists(), "plots: never"
    for seed in (3, 4, 5):
        alone = train_alone(source, settings, seed, evaluate_test=True)
        member = find_run(f"group/{seed}").path
        assert files_of(member) == files_of(alone)
        summary = json.loads((alone / "summary.json").read_text())
        record = vars(result.seeds[seed - 3])
        shared = ("status", "epochs", "best_epoch", "train", "val", "test")
        assert {name: record[name] for name in shared} == {name: summary[name] for name in shared}
    assert api.verify("group/4").identical
    assert list_runs() == []


def test_arrays_and_a_parent_become_part_of_each_seed(clean_place: Path) -> None:
    arrays = (np.random.default_rng(0).normal(size=(90, 4)), np.arange(90) % 3)
    settings = {"training.epochs": 2, "model.hidden_sizes": [5], **QUICK}
    parent = api.train("digits", settings, data=arrays, run_dir="parent")
    settings |= {"model.init": {"run": "parent"}}
    api.train_seeds("digits", settings, seeds=2, data=arrays, run_dir="group")
    alone = train_alone("digits", settings, 1, data=arrays)
    Path("group").rename("moved")  # a group is complete: it may be moved
    Path(parent.run).rename("elsewhere")
    assert files_of(find_run("moved/1").path) == files_of(alone)
    assert api.verify("moved/1").identical
    assert api.evaluate("moved/0").examples == api.evaluate(alone).examples


def find_unstable_lr() -> tuple[float, set[int]]:
    """Return a learning rate with which some of the seeds 0 to 5 diverge, and these seeds."""
    for lr in (0.6, 0.8, 1.0, 1.2, 1.4):
        try:
            result = api.train_seeds("diabetes", {**UNSTABLE, "optimizer.lr": lr, **QUICK}, seeds=6)
        except DivergedError:
            break
        diverged = {record.seed for record in result.seeds if record.status == "diverged"}
        if diverged:
            return lr, diverged
    raise AssertionError("no learning rate separates the seeds")


def test_a_seed_that_diverges_leaves_the_others_as_they_are(clean_place: Path) -> None:
    lr, diverged = find_unstable_lr()
    settings = {**UNSTABLE, "optimizer.lr": lr, **QUICK}
    group = find_group("diabetes")
    records = read_group(group).seeds
    for record in records:
        member = find_run(group.path / str(record.seed))
        if record.seed in diverged:
            assert record.error is not None
            assert record.error.startswith("training diverged: ")
            with pytest.raises(DivergedError) as caught:
                train_alone("diabetes", settings, record.seed)
            assert caught.value.message == record.error
            assert not member.checkpoint("last").exists()
            alone = RunFolder(Path(f"alone-{record.seed}"))
            assert member.read_summary() | {"seconds": 0} == alone.read_summary() | {"seconds": 0}
        else:
            assert files_of(member.path) == files_of(train_alone("diabetes", settings, record.seed))
    with pytest.raises(DivergedError, match="all 2 seeds diverged; the first: training diverged: "):
        api.train_seeds("diabetes", {**UNSTABLE, "optimizer.lr": 1e15, **QUICK}, seeds=2, run_dir="all")
    assert GroupFolder(Path("all")).status == "diverged"
    with pytest.raises(DivergedError, match="all seeds of all would diverge again: training diverged: "):
        api.resume_seeds("all")


def test_a_group_continues_with_more_epochs_as_if_it_had_never_stopped(clean_place: Path) -> None:
    settings = {"early_stopping.patience": 1, "scheduler.name": "none", **QUICK}
    api.train_seeds("diabetes", {**settings, "training.epochs": 3}, seeds=4, run_dir="group")
    old = files_of(find_run("group/0").path)
    assert api.resume_seeds("group").nothing_left is not None
    assert files_of(find_run("group/0").path) == old
    reports: list[GroupProgress] = []
    listeners = Listeners(lambda event: reports.append(event) if isinstance(event, GroupProgress) else None)
    result = api.resume_seeds("group", ["training.epochs=40"], listeners=listeners)
    assert reports[0].ended < 4, "seeds that continue have not ended"
    assert result.epochs_trained > 0
    assert {record.status for record in result.seeds} == {"stopped early"}
    for seed in range(4):
        alone = train_alone("diabetes", {**settings, "training.epochs": 40}, seed)
        assert files_of(find_run(f"group/{seed}").path) == files_of(alone)
    with lock_run(Path("group")), pytest.raises(UsageError, match="group is being trained by process"):
        api.resume_seeds("group")
    tested = api.resume_seeds("group", evaluate_test=True)
    assert tested.nothing_left is not None
    assert (
        tested.seeds[2].test
        == api.train("diabetes", {**settings, "training.epochs": 40, "seed": 2}, evaluate_test=True).test
    )


def test_a_damaged_checkpoint_is_replaced_by_the_one_before(clean_place: Path) -> None:
    settings = {"training.epochs": 3, "scheduler.name": "none", **QUICK}
    api.train_seeds("moons", settings, seeds=2, run_dir="group")
    api.resume_seeds("group", ["training.epochs=6"])
    last = Path("group/checkpoints/last.safetensors")
    content = bytearray(last.read_bytes())
    content[-20] ^= 1
    last.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot use group/checkpoints/last\.safetensors: it is damaged"):
        find_run("group/0")
    result = api.resume_seeds("group")
    assert "last.safetensors: it is damaged" in result.recovered[0]
    assert last.with_name("last.safetensors.damaged").exists()
    alone = train_alone("moons", {**settings, "training.epochs": 6}, 1)
    assert files_of(find_run("group/1").path) == files_of(alone)
    log = Path("group/metrics.jsonl")
    log.write_text(log.read_text().replace('"epoch": 2', '"epoch": 7', 1))
    with pytest.raises(DataError, match=r"group/metrics\.jsonl does not match the checkpoint"):
        api.resume_seeds("group", ["training.epochs=9"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "1"], "seeds must be at least 2. Got 1 instead"),
        (["--seeds", "20000"], "seeds must be from 2 to 10,000. Got 20000 instead"),
        (["--seeds", "3", "seed=4294967294"], "3 seeds from 4294967294 exceed the largest seed, 4294967295"),
        (["--seeds", "3", "--log", "tensorboard"], "--log is for a single run"),
    ],
)
def test_seeds_that_cannot_be_trained_are_refused(dlcli: Any, arguments: list[str], message: str) -> None:
    ended: Finished = dlcli("train", "-c", "digits", *arguments)
    assert ended.code == 2
    assert message in ended.err
    assert not Path("runs").exists()


def test_commands_name_the_seeds_of_a_group(dlcli: Any, clean_place: Path) -> None:
    trained: Finished = dlcli(
        "train", "-c", "moons", "training.epochs=2", "--seeds", "3", "--json", "--progress", "none"
    )
    result = json.loads(trained.out)
    assert (trained.code, result["diverged"], len(result["seeds"])) == (0, 0, 3)
    group = result["run"]
    for command in (["eval"], ["eval", "moons"], ["predict", group], ["plot", group], ["verify", "moons"]):
        ended: Finished = dlcli(*command)
        assert (ended.code, ended.out) == (2, "")
        assert f"{group} holds 3 seeds, 0 to 2" in ended.err
        assert f"hint: name one of them, such as `{group}/0`" in ended.err
    for name in ("moons/2", f"moons/{Path(group).name}/2", f"{group}/2/"):
        assert dlcli("eval", name, "--json", "--no-baselines").code == 0
    unknown: Finished = dlcli("eval", "moons/3")
    assert "has no seed 3: its seeds are 0 to 2" in unknown.err
    refused: Finished = dlcli("train", "--resume", "moons/2")
    assert (refused.code, f"hint: run `dlcli train --resume {group}`" in refused.err) == (2, True)
    refused = dlcli("train", "--resume", "moons", "--seeds", "4")
    assert (refused.code, "has 3 seeds, and --seeds asks for 4" in refused.err) == (2, True)
    assert dlcli("train", "--resume", "moons", "--seeds", "3", "-q").code == 0


def test_a_large_group_prints_few_lines(dlcli: Any, clean_place: Path) -> None:
    settings = ["training={epochs: 2, batch_size: full}", "model.hidden_sizes=[]", "data.n_samples=60"]
    ended: Finished = dlcli("train", "-c", "moons", *settings, "--seeds", "60", "--progress", "plain")
    assert ended.code == 0
    assert ended.err.count("\nepochs ") <= 11
    assert "60 of 60 seeds done" in ended.err
    planned: Finished = dlcli("train", "-c", "moons", *settings, "--seeds", "60", "--dry-run")
    assert "seeds     0 to 59: 60 models" in planned.out


def test_folders_of_the_user_inside_a_group_are_left_alone(clean_place: Path) -> None:
    settings = {"training.epochs": 2, "model.hidden_sizes": [5], "scheduler.name": "none"}
    group = Path(api.train_seeds("moons", settings, seeds=3, run_dir="group").run)
    with pytest.raises(UsageError, match="inside the group"):
        api.train("moons", settings, run_dir=group / "mine")
    (group / "1").mkdir()
    (group / "1" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="not unpacked from the group"):
        api.evaluate(group / "1")
    api.evaluate(group / "2")
    api.resume_seeds(group, {"training.epochs": 3})
    assert (group / "1" / "notes.txt").read_text() == "mine"
    assert not (group / "2").exists(), "it is out of date"


def test_the_time_of_a_group_is_not_that_of_all_its_seeds(clean_place: Path) -> None:
    settings = {"training.epochs": 6, "model.hidden_sizes": [5], "scheduler.name": "none"}
    start = time.perf_counter()
    first = api.train_seeds("moons", settings, seeds=12, run_dir="group")
    result = api.resume_seeds("group", {"training.epochs": 12})
    assert first.seconds < result.seconds < time.perf_counter() - start


def test_a_group_whose_seeds_all_diverged_loses_every_comparison(clean_place: Path) -> None:
    api.train_seeds("diabetes", QUICK, seeds=6, run_dir="good")
    with pytest.raises(DivergedError):
        api.train_seeds("diabetes", {**UNSTABLE, "optimizer.lr": 1e15, **QUICK}, seeds=6, run_dir="bad")
    groups = [read_group(GroupFolder(Path(name))) for name in ("good", "bad")]
    paired = compare_groups(groups).paired
    assert (paired.wins, paired.ties, paired.losses, paired.verdict) == (6, 0, 0, "first")
