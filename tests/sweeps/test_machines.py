"""Tests of machines that share a PostgreSQL database and no folder, with generations: kills change no trial."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="needs the extra sweep")

from faults.crew import MODULES, Crew, clear, only_sweep, write_config
from faults.forge import Forge

from sweeps.postgres import Postgres


@pytest.fixture(scope="module")
def database_forge() -> Iterator[Forge]:
    """Yield a forge that has imported what a sweep in a database needs."""
    with Forge(*MODULES, "optuna.storages._rdb.storage", "dlcli.sweeps.heartbeat", "psycopg") as forge:
        yield forge


def results(folder: Path) -> tuple[str, str]:
    """Return the trials and the config of the best one."""
    sweep = only_sweep(folder)
    return sweep.table.read_text(), sweep.best.read_text()


@pytest.mark.parametrize(
    ("pruner", "kills"),
    [("asha", 3), *(pytest.param(pruner, 12, marks=pytest.mark.long) for pruner in ("asha", "median", "none"))],
)
def test_generations_on_machines_without_a_shared_folder_give_the_trials_of_one_worker(
    database_forge: Forge, clean_place: Path, postgres: Postgres, pruner: str, kills: int
) -> None:
    machines = [clean_place / name for name in ("one", "two")]
    for folder in machines:
        folder.mkdir()
        write_config(folder, generation=4, trials=8 if kills < 9 else 24, pruner=pruner)
    Crew(database_forge, machines[0], without_sync=True).run(workers=1)
    expected = results(machines[0])
    clear(machines[0])
    crew = Crew(
        database_forge,
        *machines,
        arguments=["--storage", postgres.new_database()],
        stale_seconds=0.8,
        frequent_saves=True,
        without_sync=True,
    )
    crew.run(workers=4, kills=kills, most_seconds=1.0)
    assert [results(folder) for folder in machines] == [expected, expected]
    assert len(crew.killed) >= kills // 2
    shutil.rmtree(machines[1] / "sweeps")  # a machine that comes later gets the results, too
    Crew(database_forge, machines[1], arguments=crew.arguments).run(workers=1)
    assert results(machines[1]) == expected
