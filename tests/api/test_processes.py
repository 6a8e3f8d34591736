"""Training on several processes as its user sees it: results, messages, exit codes, and two machines."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CHECKOUT, Finished
from faults.launches import MODEL, TORCHRUN, Launch

from dlcli.api.agreement import _describe_changes, check_same, check_same_task
from dlcli.api.run_training import note_waiting
from dlcli.config.load import load_config
from dlcli.errors import DataError, UsageError
from dlcli.ranks import Rank, read_rank
from dlcli.runs.checkpoint import load_checkpoint
from dlcli.training import batches
from dlcli.training.events import EpochEnded
from dlcli.training.rank_messages import check_world
from dlcli.training.world import World

Dlcli = Callable[..., Finished]
DIGITS = ["train", "-c", "digits", *MODEL]


def parameters(run: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(run / "checkpoints" / "best.safetensors").parameters)


def test_two_processes_write_one_run_like_that_of_one_process(dlcli: Dlcli, clean_place: Path) -> None:
    ended = Launch([*DIGITS, "--run-dir", "runs/two", "--json", "--eval"], clean_place).end()
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert (result["run"], result["epochs"]) == ("runs/two", 2)
    assert result["test"]["accuracy"] > 0.2
    assert [line.split()[1] for line in ended.err.splitlines() if line.startswith("epoch")] == ["1/2", "2/2"]
    manifest = json.loads(Path("runs/two/manifest.json").read_text())
    assert manifest["command"][-2:] == ["--processes", "2"]
    assert "processes 2" in dlcli("runs", "show", "runs/two").out.splitlines()
    world = manifest["world"]
    assert (world["size"], world["devices"], world["backend"], world["shards"]) == (2, ["cpu", "cpu"], "gloo", None)

    assert dlcli(*DIGITS, "--run-dir", "runs/one").code == 0
    one = parameters(Path("runs/one"))
    for name, value in parameters(Path("runs/two")).items():
        torch.testing.assert_close(value, one[name], rtol=2e-5, atol=2e-6)

    log = Path("runs/two/metrics.jsonl")
    log.write_text(re.sub('("train/loss": )[^,]*', r"\g<1>0.5", log.read_text(), count=1))
    verified = Launch(["verify", "runs/two", "--json"], clean_place, launcher=[sys.executable]).end()
    assert verified.code == 6, verified.err
    assert verified.err.count("error: ") == 1
    result = json.loads(verified.out)
    (difference,) = result["differences"]  # all other numbers have the same bits
    assert difference.startswith("epoch 1: train/loss was 0.5")
    assert result["error"]["kind"] == "check"


def test_a_run_with_shards_continues_with_the_same_bits_on_another_number_of_processes(
    dlcli: Dlcli, clean_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST_BATCHES", 2)  # as in the processes, which save within an epoch
    settings = [*DIGITS, "training.shards=4", "checkpoint.every_seconds=1e-9"]
    assert dlcli(*settings, "--run-dir", "runs/whole").code == 0
    kill = {"rank": 1, "kind": "collective", "at": 5}  # within the first epoch
    assert Launch([*settings, "--run-dir", "runs/part", "--processes", "2"], clean_place, [kill]).end().code == 137
    kill = {"rank": 3, "kind": "collective", "at": 6}  # within the second epoch
    assert Launch(["train", "--resume", "runs/part", "--processes", "4"], clean_place, [kill]).end().code == 137
    assert dlcli("train", "--resume", "runs/part").code == 0
    worlds = [start["world"]["size"] for start in json.loads(Path("runs/part/manifest.json").read_text())["resumed"]]
    assert worlds == [4, 1]
    for which in ("best", "last"):
        files = [Path(run) / "checkpoints" / f"{which}.safetensors" for run in ("runs/whole", "runs/part")]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert dlcli("verify", "runs/part").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        pytest.param(["-c", "missing.yaml", "optimizer.lr=0.1"], 3, "data", marks=pytest.mark.long),
        (["-c", "digits", "optimizer={lr: 1e18, momentum: 0.99}", "model.activation=relu"], 5, "diverged"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else None,
)
def test_a_mistake_is_told_once_with_its_exit_code(
    clean_place: Path, arguments: list[str], code: int, kind: str
) -> None:
    Path("missing.yaml").write_text("data: {name: csv, path: nothing.csv, target: y}\n")
    ended = Launch(["train", *arguments, "--json", "--run-dir", "runs/run"], clean_place).end()
    assert (ended.code, json.loads(ended.out)["error"]["kind"]) == (code, kind), ended.err
    assert ended.err.count("error: ") == 1
    assert "Traceback" not in ended.err
    assert Path("runs").exists() == (code == 5)


@pytest.mark.parametrize(
    ("difference", "message"),
    [
        pytest.param('"seed=$RANK"', "process 1 on .* has seed 1, and process 0 on .* has 0", marks=pytest.mark.long),
        ('-c "$RANK.yaml"', "process 1 on .* has another train split than process 0"),
        pytest.param(
            '"--config=$RANK.yaml" "data.path=$RANK.csv"',
            "process 1 on .*: .*/1.csv does not exist",
            marks=pytest.mark.long,
        ),
    ],
    ids=["settings", "data", "no data"],
)
def test_processes_that_differ_are_refused(clean_place: Path, difference: str, message: str) -> None:
    rows = [f"{i % 17},{i % 5},{'ab'[i % 2]}" for i in range(120)]
    for rank in (0, 1):
        Path(f"{rank}.yaml").write_text(f"name: table\ndata: {{name: csv, path: table{rank}.csv, target: y}}\n")
        Path(f"table{rank}.csv").write_text("\n".join(["a,b,y", *rows]).replace("16,0,a", f"16,{rank},a") + "\n")
    Path("0.csv").write_text(Path("table0.csv").read_text())
    config = "" if "RANK.yaml" in difference else "-c digits"
    command = f"{shlex.quote(sys.executable)} -m dlcli train {config} {difference} -q"
    launcher = [*TORCHRUN, "--no-python", "bash", "-c", f"{command} --run-dir runs/run"]
    ended = Launch([], clean_place, launcher=launcher).end()
    assert ended.code == 1
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, ended.err
    assert not Path("runs").exists()
    assert re.search(message, errors[0])


def record(host: str = "a", **more: Any) -> dict[str, Any]:
    same = {"versions": {"dlcli": "1"}, "settings": {"seed": "0"}, "data": {"train": "f00"}, "kind": "cpu"}
    return {"host": host, "device": "cpu", **same, **more}


def test_the_first_difference_is_named_with_its_host() -> None:
    check_same([record(), record("b")])
    with pytest.raises(UsageError, match="process 1 on b has version of dlcli 2, and process 0 on a has 1"):
        check_same([record(), record("b", versions={"dlcli": "2"}, settings={"seed": "1"})])
    with pytest.raises(UsageError, match="process 2 on c has seed 1, and process 0 on a has 0"):
        check_same([record(), record(), record("c", settings={"seed": "1"})])
    with pytest.raises(UsageError, match="device cuda:0"):
        check_same([record(), record("b", kind="cuda", device="cuda:0")])
    with pytest.raises(DataError, match="another train split"):
        check_same([record(), record("b", data={"train": "f01"})])


def test_all_processes_have_the_same_task() -> None:
    train, resume = (
        {"host": host, "task": task, "changes": ""} for host, task in (("a", "train"), ("b", "resume a run"))
    )
    check_same_task([train, train])
    with pytest.raises(UsageError, match="process 1 on b was started to resume a run, and process 0 on a to train"):
        check_same_task([train, resume])
    changes = _describe_changes(["training.epochs=9", "data.root=/here", "training.device=cpu"])
    assert changes == "training.epochs=9", "other settings may differ between machines"
    with pytest.raises(UsageError, match=r"with training\.epochs=9, and process 0 on b with no other settings"):
        check_same_task([resume, {**resume, "changes": changes}])


def test_the_place_of_a_process_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANK", "3")
    assert read_rank() == Rank()  # RANK alone means nothing
    monkeypatch.setenv("WORLD_SIZE", "")
    assert read_rank() == Rank()  # as if it were not set
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert read_rank() == Rank(3, 4, 0, 1)
    for name, value in (("RANK", "4"), ("RANK", "first"), ("WORLD_SIZE", "many")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(UsageError, match=r"the environment does not describe a process|contradict each other"):
                read_rank()


def test_other_commands_refuse_to_run_in_several_processes(dlcli: Dlcli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr("dlcli.cli.leave", lambda code, error: sys.exit(code))
    for command in ("eval digits", "config list", "sweep -c digits", "train -c digits --seeds 2"):
        done = dlcli(*command.split())
        assert done.code == 2, command
        assert "several processes" in done.err or "runs in one process" in done.err


REFUSED = {
    "--seeds 2": "--seeds cannot be combined with several processes",
    "--dry-run": "--dry-run cannot be combined with several processes",
    "--processes 0": "--processes must be auto, or a number from 1",
    "--processes two": "--processes must be auto, or a number from 1",
    "optimizer.lr=big": "optimizer.lr must be a number",
    "training.batch_size=1": "training.batch_size is 1, and each of 2 processes needs an example of a batch",
    "training.shards=3": "training.shards is 3, which 2 processes cannot share equally",
    "model.batch_norm=true": "model.batch_norm normalizes over the whole batch, of which 2 processes have parts",
}


@pytest.mark.parametrize("option", REFUSED)
def test_what_several_processes_cannot_do_is_refused_before_they_start(dlcli: Dlcli, option: str) -> None:
    processes = [] if "--processes" in option else ["--processes", "2"]
    done = dlcli("train", "-c", "digits", *processes, *option.split(), "--json")
    assert done.code == 2
    assert REFUSED[option] in done.err
    assert json.loads(done.out)["error"]["code"] == 2


def test_a_device_with_a_number_is_refused_for_several_processes() -> None:
    config = load_config("digits", ["training.device=cuda:1"]).config
    check_world(config, Rank(0, 2, 0, 1))  # two machines
    with pytest.raises(UsageError, match="2 processes need a device each"):
        check_world(config, Rank(0, 2, 0, 2))


def test_a_note_says_when_communication_takes_most_of_an_epoch() -> None:
    metrics = {"loss": 1.0}
    epoch = EpochEnded(1, 10, 0.1, 1.0, metrics, epoch_seconds=10.0, examples_per_second=1.0, is_best=True)
    for seconds, size, is_noted in ((5.1, 2, True), (4.9, 2, False), (5.1, 1, False)):
        note = note_waiting(World(size=size, waited_seconds=seconds), epoch)
        assert (note is not None) == is_noted
        assert note is None or note.startswith("51% of epoch 1 was communication between 2 processes")


@pytest.mark.long
@pytest.mark.parametrize("pairs", [10])
def test_two_launches_at_once_do_not_meet(clean_place: Path, pairs: int) -> None:
    for pair in range(pairs):
        launches = [
            Launch([*DIGITS, f"seed={seed}", "--run-dir", f"runs/{pair}-{seed}", "--json"], clean_place)
            for seed in (0, 1)
        ]
        results = [json.loads(launch.end().out) for launch in launches]
        assert [result["run"] for result in results] == [f"runs/{pair}-0", f"runs/{pair}-1"]
        assert results[0]["val"] != results[1]["val"]


def test_a_training_in_one_process_imports_no_launcher(clean_place: Path) -> None:
    program = """
import sys
sys.argv = ["dlcli", "train", "-c", "digits", "training.epochs=1", "-q"]
from dlcli.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
assert not {"torch.distributed.launcher", "dlcli.api.launch", "dlcli.training.rank_messages"} & {*sys.modules}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_commands_of_the_page_run(clean_place: Path) -> None:
    page = (CHECKOUT / "docs" / "processes.md").read_text(encoding="utf-8")
    commands = re.search(r"```sh\n(.*?)```", page, flags=re.DOTALL)
    assert commands is not None
    lines = commands[1].splitlines()
    assert len(lines) == 3
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {"PATH": path, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])}
    for number, line in enumerate(lines):
        arguments = [*shlex.split(line), "training.epochs=1", "--run-dir", f"runs/{number}"]
        if arguments[0] == "dlcli":
            arguments[:1] = [sys.executable, "-m", "dlcli"]
        done = subprocess.run(arguments, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (line, done.stderr)
        world = json.loads(Path(f"runs/{number}/manifest.json").read_text())["world"]
        assert world["size"] > 1 or "auto" in line


def test_a_seed_of_a_group_with_shards_has_the_bits_that_it_has_alone(dlcli: Dlcli, clean_place: Path) -> None:
    settings = [*DIGITS, "training.shards=2"]
    assert dlcli(*settings, "--seeds", "2", "--run-dir", "runs/group").code == 0
    assert dlcli(*settings, "--seed", "1", "--run-dir", "runs/alone").code == 0
    assert dlcli("runs", "show", "runs/group/1").code == 0  # unpacks the seed
    of_group, alone = parameters(Path("runs/group/1")), parameters(Path("runs/alone"))
    assert all(torch.equal(value, alone[name]) for name, value in of_group.items())
