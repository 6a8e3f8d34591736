"""Faults of one of several processes: Python imports this module at the start of each process that has it on its path.

FAULTS is a JSON list of objects with `rank`, `kind` and `at`, of which the first applies to the first start of the
launch, the second to its first restart, and so on. The process kills itself, or pauses for `seconds`.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any


def _act(fault: dict[str, Any]) -> None:
    if "seconds" in fault:
        time.sleep(fault["seconds"])
    else:
        os.kill(os.getpid(), fault.get("signal", signal.SIGKILL))


def _at_call(owner: Any, name: str, number: int, fault: dict[str, Any]) -> None:
    """Act before a call of a function, counted from 1."""
    function: Callable[..., Any] = getattr(owner, name)
    calls = [0]

    def counted(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            _act(fault)
        return function(*arguments, **options)

    setattr(owner, name, counted)


def _install(fault: dict[str, Any]) -> None:
    kind, at = fault["kind"], fault.get("at", 1)
    if kind == "start":
        _act(fault)
    elif kind == "time":
        threading.Thread(target=lambda: (time.sleep(fault["at"]), _act(fault)), daemon=True).start()
    elif kind == "collective":
        from dlcli.training.world import World

        _at_call(World, "total", at, fault)
    elif kind == "message":
        from dlcli.training.rank_messages import Ranks

        _at_call(Ranks, "broadcast", at, fault)
    elif kind == "load":
        from dlcli import experiment

        _at_call(experiment, "load_splits", at, fault)
    elif kind == "checkpoint":
        from dlcli.runs import recorder

        _at_call(recorder, "save_checkpoint", at, fault)
    elif kind == "operation":
        from faults.disk import Disk

        Disk(crash_at=at, half=True, power_cut=False, full_at=0, count=False).mount()


if "RANK" in os.environ:
    if version := os.environ.get("DLCLI_TEST_VERSION"):
        import dlcli

        dlcli.__version__ = version
    if os.environ.get("EAGER_SAVES"):
        from dlcli.runs import recorder
        from dlcli.training import batches, fit

        recorder.SAVE_SECONDS, fit.REPORT_SECONDS, batches.MOST_BATCHES = 0.0, 0.0, 2
    faults = json.loads(os.environ.get("FAULTS", "[]"))
    start = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    if start < len(faults) and faults[start]["rank"] == int(os.environ["RANK"]):
        _install(faults[start])
