"""What a run was made with."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import torch

from dlcli.runs.manifest import describe_environment, describe_start


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a signal ends the process")
@pytest.mark.parametrize("describe", [lambda: describe_start([]), lambda: describe_environment(torch.device("cpu"))])
def test_a_signal_waits_for_the_programs_that_are_asked(
    describe: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    heard: list[int] = []
    communicate = subprocess.Popen.communicate

    def interrupted(self: subprocess.Popen[str], *arguments: Any, **options: Any) -> Any:
        asked.append(self.args[0])  # type: ignore[index]
        os.kill(os.getpid(), signal.SIGTERM)
        assert len(heard) == len(asked) - 1, "would have left a child behind"
        return communicate(self, *arguments, **options)

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    monkeypatch.setattr(platform, "_uname_cache", None)  # Python asks once a process
    monkeypatch.setattr(platform, "_platform_cache", {})
    before = signal.signal(signal.SIGTERM, lambda signum, _frame: heard.append(signum))
    try:
        describe()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(heard) == len(asked) >= 1
