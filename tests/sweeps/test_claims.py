"""Tests of claims: kills, several machines, taking over, and numbers beyond the sweep; in journals and PostgreSQL."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="needs the extra sweep")

from conftest import CHECKOUT
from optuna import delete_study
from optuna.trial import FrozenTrial, TrialState

from dlcli.sweeps import storage
from dlcli.sweeps.claims import Claim, ClaimLostError, Counts, Hold, counts, take
from dlcli.sweeps.storage import engine_of
from sweeps.workers import (
    FINISHED,
    STALE_SECONDS,
    Place,
    check_sweep,
    open_claims,
    opened,
    processes,
    run_trial,
    run_with_kills,
    start,
    wait_for,
    work,
    write_step,
)


def take_one(place: Place, trials: int = 9) -> Claim:
    study = place.open()
    claim = take(study, open_claims(study, place), trials)
    assert claim is not None
    return claim


@pytest.mark.parametrize(("sweeps", "trials", "kills"), [(1, 20, 6), pytest.param(10, 40, 60, marks=pytest.mark.long)])
def test_a_sweep_with_killed_workers_finishes_each_trial_once(
    place: Place, sweeps: int, trials: int, kills: int
) -> None:
    draw, killed, finished = random.Random(0), 0, 0
    while killed < kills or finished < sweeps:
        killed += run_with_kills(place, trials, kills // sweeps, draw)
        check_sweep(place, trials)
        finished += 1
        remove(place)
    assert killed >= kills
    assert finished >= sweeps


def remove(place: Place) -> None:
    """Delete a sweep, so that its place is as new."""
    if place.url:
        study = place.open()
        delete_study(study_name=study.study_name, storage=study._storage)
    opened.close()
    shutil.rmtree(place.folder)
    place.make()


def begin_and_die(place: Place, at: str) -> None:
    """Die at a point of a trial's life."""
    study = place.open()
    claims = open_claims(study, place)
    if at == "asked":
        study.ask()
    else:
        claim = take(study, claims, 9)
        assert claim is not None
        if at != "claimed":
            claim.trial.suggest_float("x", 0, 1)
        if at == "told":
            claim.tell(claim.trial.params["x"])
        elif at == "reported":
            claim.report(claim.trial.params["x"], 0)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("at", ["asked", "claimed", "drawn", "reported"])
def test_a_trial_of_a_killed_worker_is_gone_on_with_by_the_next(place: Place, at: str) -> None:
    killed = start(begin_and_die, place, at)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    study = place.open()
    claims = open_claims(study, place)
    before = study.trials[0]
    while (claim := take(study, claims, 1)) is None:
        time.sleep(0.05)  # the claim in the database is not yet stale
    with claim:
        assert (claim.number, claim.is_new) == (0, False)
        run_trial(claim)
    assert counts(study, 1) == Counts(finished=1, pruned=0, running=0, waiting=0)
    after = study.trials[0]
    assert before.params.items() <= after.params.items()
    assert before.intermediate_values.items() <= after.intermediate_values.items()


def test_a_trial_told_just_before_the_kill_is_finished(place: Place) -> None:
    killed = start(begin_and_die, place, "told")
    killed.join()
    study = place.open()
    assert take(study, open_claims(study, place), 1) is None
    assert counts(study, 2) == Counts(finished=1, pruned=0, running=0, waiting=1)


def test_a_released_trial_is_taken_before_a_new_one_and_a_held_one_is_not(place: Place) -> None:
    with take_one(place) as first, take_one(place) as second:
        assert [(claim.number, claim.is_new) for claim in (first, second)] == [(0, True), (1, True)]
        second.trial.suggest_float("x", 0, 1)
        second.release()
        again = take_one(place)
        with again:
            assert (again.number, again.is_new) == (1, False)
            assert again.trial.suggest_float("x", 0, 1) == second.trial.params["x"]
    assert take_one(place).number == 0


def test_numbers_beyond_the_sweep_wait_until_it_has_more_trials(place: Place) -> None:
    study = place.open()
    claims = open_claims(study, place)
    for _ in range(4):
        study.ask()  # as by workers that asked at the same time and died
    with take_one(place, trials=2) as first:
        assert first.number == 0
        with take_one(place, trials=2) as second:
            assert second.number == 1
            assert take(study, claims, 2) is None
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING] * 2 + [TrialState.WAITING] * 2
    assert counts(study, 2) == Counts(finished=0, pruned=0, running=2, waiting=0)
    assert counts(study, 5) == Counts(finished=0, pruned=0, running=2, waiting=3)
    work(place, 5, pause=0)
    check_sweep(place, 5)


def test_a_trial_finished_just_before_it_is_claimed_is_not_taken(place: Place) -> None:
    study, first = place.open(), take_one(place)
    claims = open_claims(study, place)

    class LateClaims:
        def hold(self, trial: FrozenTrial) -> Hold | None:
            assert trial.state == TrialState.RUNNING
            first.tell(1.0)
            first.release()
            return claims.hold(trial)

    assert take(study, LateClaims(), 1) is None
    assert counts(study, 1) == Counts(finished=1, pruned=0, running=0, waiting=0)


def test_a_trial_told_by_another_worker_is_not_told_again(place: Place) -> None:
    study = place.open()
    with take_one(place) as claim:
        study.tell(0, 1.0)
        with pytest.raises(ClaimLostError):
            claim.tell(2.0)
    assert study.trials[0].value == 1.0


def machine(place: Place, name: str, trials: int) -> list[str]:
    """Return the command of a worker with another network, host name, process numbers and time zone."""
    code = (
        f"import sys; sys.path[:0] = {[str(CHECKOUT), str(CHECKOUT / 'tests')]!r}\n"
        "from pathlib import Path; from sweeps.workers import Place, work\n"
        f"work(Place(Path({str(place.folder)!r})), {trials}, 0.01)\n"
    )
    own = ["unshare", "--net", "--uts", "--pid", "--ipc", "--fork", "--kill-child"]
    return [*own, "sh", "-c", f'hostname {name}; exec "$@"', "sh", sys.executable, "-c", code]


def test_two_machines_share_a_folder_and_one_takes_over_from_the_other(clean_place: Path) -> None:
    place, trials = Place(clean_place / "shared").make(), 30
    if shutil.which("unshare") is None or subprocess.run(machine(place, "one", 0), capture_output=True).returncode:
        pytest.skip("may not create namespaces (unshare --net --uts --pid)")
    zones = {"one": "Asia/Tokyo", "two": "America/New_York"}
    crew = {
        name: subprocess.Popen(machine(place, name, trials), env={**os.environ, "TZ": zone}, start_new_session=True)
        for name, zone in zones.items()
    }
    wait_for(place.folder / "steps")
    time.sleep(0.2)
    crew["one"].kill()
    assert crew["one"].wait() == -signal.SIGKILL
    assert crew["two"].wait(timeout=60) == 0
    study = place.open()
    assert len(study.trials) == trials
    assert all(trial.state in FINISHED for trial in study.trials)


def beat(place: Place) -> None:
    """Claim a trial, then log a step in each round until the claim is lost."""
    study = place.open()
    claims = open_claims(study, place)
    claim = take(study, claims, 9)
    assert claim is not None
    (place.folder / "claimed").touch()
    while True:
        try:
            claim.check()
        except ClaimLostError:
            break
        time.sleep(0.01)
    try:
        claim.tell(7.0)
    except ClaimLostError:
        write_step(place.folder / "lost", "0")


def test_the_claim_of_a_suspended_machine_is_taken_over_and_not_told_when_it_wakes(database_place: Place) -> None:
    place = database_place
    suspended = start(beat, place)
    wait_for(place.folder / "claimed")
    study = place.open()
    claims = open_claims(study, place)
    until = time.monotonic() + 2 * STALE_SECONDS
    while time.monotonic() < until:
        assert take(study, claims, 1) is None, "its worker gives signs of life"
        time.sleep(0.1)
    assert suspended.pid is not None
    os.kill(suspended.pid, signal.SIGSTOP)
    try:
        while (claim := take(study, claims, 1)) is None:
            time.sleep(0.05)
    finally:
        os.kill(suspended.pid, signal.SIGCONT)
    suspended.join()
    assert suspended.exitcode == 0
    assert (place.folder / "lost").exists()
    with claim:
        assert (claim.number, claim.is_new) == (0, False)
        claim.tell(1.0)
    assert study.trials[0].value == 1.0


def test_of_two_workers_one_inserts_or_replaces_a_record(database_place: Place) -> None:
    from dlcli.sweeps.heartbeat import Record

    study = database_place.open()
    engine = engine_of(study)
    assert engine is not None
    trial_id = study.ask()._trial_id
    first, second, third = (Record(engine, trial_id, owner) for owner in ("1", "12", "3"))
    assert [first.insert(), second.insert()] == [True, False]
    old = first.read()
    assert old is not None
    assert [second.replace(old), third.replace(old)] == [True, False]
    with engine.begin() as connection:
        assert [first.beat(connection), second.beat(connection)] == [False, True]
    first.delete()
    assert second.read() == second.value
    second.delete()
    assert second.read() is None


def claim_and_die(place: Place, folder: Path) -> None:
    study = place.open()
    claims = storage.open_claims(study, folder)
    assert take(study, claims, 9) is not None
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_claim_of_a_killed_worker_is_free_at_once_for_one_with_the_same_lock_file(database_place: Place) -> None:
    place = database_place
    mine, other = place.folder / "mine", place.folder / "other"
    for folder in (mine, other):
        folder.mkdir()
    killed = start(claim_and_die, place, mine)
    killed.join()
    study = place.open()
    assert take(study, storage.open_claims(study, other), 1) is None, "its worker may live on another machine"
    claim = take(study, storage.open_claims(study, mine), 1)
    assert claim is not None
    with claim:
        claim.tell(1.0)
    assert study.trials[0].value == 1.0


def take_over(place: Place, gate: object) -> None:
    """Wait for a stale claim and take it over; log success."""
    study = place.open()
    claims = open_claims(study, place)
    gate.wait()  # type: ignore[attr-defined]
    until = time.monotonic() + 2 * STALE_SECONDS
    while time.monotonic() < until:
        claim = take(study, claims, 1)
        if claim is not None:
            write_step(place.folder / "taken", str(os.getpid()))
            time.sleep(max(0.0, until - time.monotonic()))
            claim.check()
            return


def test_one_of_four_workers_takes_over_a_stale_claim(database_place: Place) -> None:
    place = database_place
    killed = start(begin_and_die, place, "claimed")
    killed.join()
    gate = processes.Barrier(4, timeout=60)
    crew = [start(take_over, place, gate) for _ in range(4)]
    for process in crew:
        process.join()
        assert process.exitcode == 0
    assert len((place.folder / "taken").read_text().splitlines()) == 1
