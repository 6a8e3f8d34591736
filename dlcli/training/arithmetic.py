"""The rule that fixes a run's arithmetic before its first step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Library: TypeAlias = Literal["torch", "onednn"]
StepName: TypeAlias = Literal["eager", "manual"]


@dataclass(frozen=True)
class Arithmetic:
    """What decides the last bits of a run besides its config, data, processor and versions.

    Attributes:
        step: How gradients are computed: by autograd (`eager`) or by the written-out formulas (`manual`).
        threads: CPU threads for every operation of the run.
        library: Library for large matrix products: torch's own, or oneDNN.
    """

    step: StepName
    threads: int
    library: Library
