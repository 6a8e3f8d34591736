"""Workers of sweeps with made-up objectives, in processes that can be killed, and a check of what they did."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple

from optuna import Study
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from dlcli.sweeps.claims import Claim, ClaimLostError, Claims, counts, take
from dlcli.sweeps.folder_claims import FolderClaims
from dlcli.sweeps.storage import engine_of, open_study

BEAT_SECONDS, STALE_SECONDS = 0.1, 1.5
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

# Children are forks of a small process that has imported Optuna, and neither torch nor a thread.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["dlcli.sweeps.claims", "dlcli.sweeps.journal", "optuna.storages._rdb.storage"])

opened = ExitStack()  # studies of this process, which tests close


class Place(NamedTuple):
    """Where a sweep is stored."""

    folder: Path
    url: str | None = None

    def make(self) -> Place:
        (self.folder / "trials").mkdir(parents=True, exist_ok=True)
        return self

    def open(self) -> Study:
        sampler = RandomSampler(seed=os.getpid())
        study = open_study(self.folder, self.url, name="sweep", direction="minimize", sampler=sampler)
        return opened.enter_context(study)


def open_claims(study: Study, place: Place) -> Claims:
    engine = engine_of(study)
    if engine is None:
        return FolderClaims(place.folder / "trials")
    from dlcli.sweeps.heartbeat import DatabaseClaims

    own = place.folder / f"machine-{os.getpid()}"  # as on a machine that shares no folder
    own.mkdir(exist_ok=True)
    return DatabaseClaims(engine, study._study_id, own, beat_seconds=BEAT_SECONDS, stale_seconds=STALE_SECONDS)


def work(place: Place, trials: int, pause: float = 0.003) -> None:
    """Run trials until all are finished; log each step."""
    study = place.open()
    claims = open_claims(study, place)
    while (now := counts(study, trials)).finished + now.pruned < trials:
        claim = take(study, claims, trials)
        if claim is None:
            time.sleep(0.01)
            continue
        with claim:
            try:
                run_trial(claim, place.folder / "steps", pause)
            except ClaimLostError:
                continue


def run_trial(claim: Claim, log: Path | None = None, pause: float = 0.0) -> None:
    """Run a trial with a made-up objective; every fourth one is pruned."""
    number, x = claim.number, claim.trial.suggest_float("x", 0, 1)
    for epoch in range(3):
        claim.check()
        if log:
            write_step(log, f"{number} {os.getpid()} {x}")
        claim.report(x + epoch, epoch)
        time.sleep(pause)
    claim.tell(None if number % 4 == 3 else x)


def write_step(log: Path, line: str) -> None:
    with log.open("ab", buffering=0) as file:
        file.write(f"{line}\n".encode())


def start(target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    process = processes.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def wait_for(path: Path) -> None:
    """Wait until a file exists."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.005)


def run_with_kills(place: Place, trials: int, kills: int, draw: random.Random, workers: int = 3) -> int:
    """Run a sweep in several processes, of which random ones are killed and replaced; return the number of kills."""
    seconds = 0.6 if place.url else 0.15  # connecting takes longer
    crew, killed = [start(work, place, trials) for _ in range(workers)], 0
    while killed < kills and all(process.exitcode is None for process in crew):
        time.sleep(draw.uniform(0, seconds))
        victim = draw.randrange(workers)
        crew[victim].kill()
        crew[victim].join()
        killed += crew[victim].exitcode == -signal.SIGKILL
        crew[victim] = start(work, place, trials)
    for process in crew:
        process.join(timeout=60)
        assert process.exitcode == 0
    return killed


def check_sweep(place: Place, trials: int) -> None:
    """Check that each trial is finished, by one worker at a time and with the same parameters throughout."""
    found = place.open().trials
    assert [trial.number for trial in found] == list(range(len(found)))
    assert all(trial.state in FINISHED for trial in found[:trials])
    assert all(trial.state == TrialState.WAITING for trial in found[trials:])
    assert len(found) >= trials
    for trial in found[:trials]:
        assert (trial.state == TrialState.PRUNED) == (trial.number % 4 == 3)
        assert trial.intermediate_values == {epoch: trial.params["x"] + epoch for epoch in range(3)}
    owners: dict[int, list[str]] = {}
    for line in (place.folder / "steps").read_text().splitlines():
        number, worker, x = line.split()
        assert float(x) == found[int(number)].params["x"]
        history = owners.setdefault(int(number), [])
        if worker not in history[-1:]:
            assert worker not in history, f"trial {number} was run by two workers at the same time"
            history.append(worker)
    assert sorted(owners) == list(range(trials))
