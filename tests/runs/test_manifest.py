"""What a run was made with."""

from __future__ import annotations

import platform
import sys

import pytest
import torch

from dlcli.runs.manifest import describe_environment


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Python says more")
def test_the_platform_is_told_as_python_tells_it() -> None:
    assert describe_environment(torch.device("cpu"))["platform"] == platform.platform()
