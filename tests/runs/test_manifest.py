"""Tests of the run manifest."""

from __future__ import annotations

import platform
import sys

import pytest
import torch

from dlcli.runs.manifest import describe_environment


@pytest.mark.skipif(sys.platform != "linux", reason="other systems report a different platform")
def test_platform_matches_the_standard_library() -> None:
    assert describe_environment(torch.device("cpu"))["platform"] == platform.platform()
