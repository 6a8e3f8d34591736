"""What a run was made with: enough to make it again, and to know why it differs when it does."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import torch

from dlcli.config.schema import Config
from dlcli.data.splits import DataInfo


def build_manifest(config: Config, info: DataInfo, device: torch.device, command: Sequence[str]) -> dict[str, Any]:
    """Return the manifest of a run that starts now."""
    return {
        "schema": 1,
        "started": datetime.now(UTC).isoformat(),
        "command": list(command),
        "working_folder": os.getcwd(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("dlcli", "torch", "numpy", "scikit-learn", "safetensors", "pydantic")},
        },
        "git_commit": _git_commit(),
        "seed": config.seed,
        "data": {"name": info.name, "sha256": dict(info.checksums)},
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "world_size": 1,
        "pid": os.getpid(),
        "host": platform.node(),
    }


def _git_commit() -> str | None:
    """Return the commit of the folder dlcli was called in, `+` behind it when files differ; None outside git."""
    try:
        head = _git("rev-parse", "HEAD")
        return f"{head}+" if _git("status", "--porcelain", "--untracked-files=no") else head
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    completed = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=5)  # noqa: S603, S607
    return completed.stdout.strip()
