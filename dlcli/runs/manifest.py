"""Run manifest: command, versions, data, device and environment, for reproducing a run."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from dlcli.config.schema import Config, InitFromRun
from dlcli.data.splits import Splits
from dlcli.experiment import Experiment
from dlcli.ranks import add_processes
from dlcli.runs.git_commit import find_commit
from dlcli.text import hide_passwords
from dlcli.training.arithmetic import Arithmetic

# Environment variables that change the numerical results of torch and its libraries.
_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
    "TORCH_BLAS_PREFER_CUBLASLT",
)


def build_manifest(
    experiment: Experiment, command: Sequence[str], world: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the manifest of a new run.

    Args:
        experiment: Experiment of the run.
        command: Command line.
        world: Record of the processes that train the model, see `describe_world`; None means only this process.
    """
    config, splits = experiment.config, experiment.splits
    info = splits.info
    return {
        "schema": 1,
        **describe_start(command),
        "seed": config.seed,
        "data": {"name": info.name, "sha256": dict(info.checksums)},
        **_describe_parent(config),
        "class_counts": count_classes(splits) or None,
        "world": world or describe_world(experiment, [experiment.device], [platform.node()]),
        "threads": experiment.arithmetic.threads,
        "arithmetic": asdict(experiment.arithmetic),
        **describe_environment(experiment.device),
    }


def describe_world(
    experiment: Experiment, devices: Sequence[torch.device | str], hosts: Sequence[str], backend: str | None = None
) -> dict[str, Any]:
    """Return the record of the processes that train a model.

    Args:
        experiment: Experiment of the run.
        devices: Device of each process.
        hosts: Machine of each process.
        backend: Backend of their collective operations; None if there is only one process.
    """
    return {
        "size": experiment.world.size,
        "hosts": list(dict.fromkeys(hosts)),
        "devices": [str(device) for device in devices],
        "backend": backend,
        "shards": experiment.world.shards,
    }


def read_arithmetic(manifest: Mapping[str, Any]) -> Arithmetic | None:
    """Return the arithmetic of a run; None if the record is damaged."""
    with contextlib.suppress(TypeError):
        return Arithmetic(**manifest.get("arithmetic", {}))
    return None


def _describe_parent(config: Config) -> dict[str, Any]:
    """Return the record of the checkpoint that training starts from; empty if the initial parameters are random."""
    init = config.model.init
    if not isinstance(init, InitFromRun):
        return {}
    return {"parent": {"run": str(init.run), "checkpoint": init.checkpoint, "sha256": init.sha256}}


def count_classes(splits: Splits) -> list[int]:
    """Return the number of training examples of each class; empty for regression."""
    if splits.info.task == "regression":
        return []
    return torch.bincount(splits.train.targets, minlength=splits.info.out_features).tolist()


def describe_start(command: Sequence[str]) -> dict[str, Any]:
    """Return time, command, commit, process and host of a start or resumption."""
    return {
        "started": datetime.now(UTC).isoformat(),
        "command": hide_passwords(add_processes(command)),
        "working_folder": os.getcwd(),
        "git_commit": find_commit(Path.cwd()),
        "pid": os.getpid(),
        "host": platform.node(),
    }


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Return the parts of the environment that can affect the last bits of a result."""
    packages = ("dlcli", "torch", "numpy", "scikit-learn", "safetensors", "pydantic")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "platform": _platform(),
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def environment_changes(manifest: Mapping[str, Any], device: torch.device) -> dict[str, tuple[Any, Any]]:
    """Return the old and the current value of each part of the environment that has changed."""
    new = describe_environment(device)
    old = {key: manifest.get(key) for key in new}
    pairs = {f"version of {name}": ((old["versions"] or {}).get(name), item) for name, item in new["versions"].items()}
    pairs |= {key: (old[key], new[key]) for key in new if key != "versions"}
    return {name: (before, after) for name, (before, after) in pairs.items() if before != after}


def _processor() -> str:
    """Return the model name of the processor, which `platform` does not provide on Linux."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _platform() -> str:
    """Return system, release, machine and C library, without the subprocesses that `platform.platform` starts."""
    parts = [platform.system(), platform.release(), platform.machine()]
    library = "".join(platform.libc_ver())
    return "-".join([*parts, "with", library] if library else parts)
