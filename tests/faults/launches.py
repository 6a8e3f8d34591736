"""Launches of several dlcli processes with faults in one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).parents[1]
MODEL = ["model={hidden_sizes: [8], dropout: 0.2}", "training={epochs: 2, batch_size: 256}", "plots=never"]
TRAIN = ["train", "-c", "digits", *MODEL, "checkpoint.every_seconds=1e-9", "--run-dir", "runs/run"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


class Launched(NamedTuple):
    code: int
    out: str
    err: str
    seconds: float


class Launch:
    """Running `dlcli ... --processes 2`, or another launcher.

    Attributes:
        process: The launcher.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        faults: Sequence[dict[str, Any]] = (),
        launcher: Sequence[str] = (),
        more: Mapping[str, str] | None = None,
    ) -> None:
        path = [str(TESTS / "faults" / "in_ranks"), str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]
        variables = {"PYTHONPATH": os.pathsep.join(path), "FAULTS": json.dumps(list(faults)), "EAGER_SAVES": "1"}
        command = [*launcher, "-m", "dlcli", *arguments]
        if not launcher:
            command = [sys.executable, *command, *([] if "--processes" in arguments else ["--processes", "2"])]
        self._start = time.monotonic()
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **variables, **(more or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ranks(self) -> dict[int, int]:
        """Return the pid of each process by its rank."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                variables = (path / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            values = [value for value in variables if value.startswith(b"RANK=")]
            if parent == self.process.pid and values:
                found[int(values[0].partition(b"=")[2])] = int(path.name)
        return found

    def wait_for(self, path: Path, seconds: float = 60) -> None:
        """Wait until a file exists."""
        end = time.monotonic() + seconds
        while not path.exists():
            assert time.monotonic() < end, f"no {path} after {seconds} s"
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.01)

    def end(self, seconds: float = 120) -> Launched:
        """Return the result of the launcher once it has ended."""
        out, err = self.process.communicate(timeout=seconds)
        return Launched(self.process.returncode, out, err, time.monotonic() - self._start)


def is_running(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pids: Sequence[int], seconds: float) -> None:
    """Wait until processes have ended."""
    end = time.monotonic() + seconds
    while left := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < end, f"{left} still run after {seconds} s"
        time.sleep(0.02)
