"""Validation and traces of the models of a stack."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dlcli.training.evaluation import evaluate_split
from dlcli.training.events import Trace
from dlcli.training.fast.activations import ELEMENTWISE
from dlcli.training.fast.batched import BatchedStack
from dlcli.training.fast.batched_looks import BatchedEvaluation, BatchedTracer
from dlcli.training.fast.looks import StackedEvaluation, StackedTracer
from dlcli.training.fast.stack import Stack
from dlcli.training.fit import Fit
from dlcli.training.requests import Look, Measured
from dlcli.training.together.members import Member

_MOST_VALUES = 2**18  # values in a layer of one model; stacking more is not faster and takes memory for each model


class StackedLooks:
    """Measurements of the models of a stack at the end of an epoch; on a CPU, bit-identical to `Fit.measure`.

    Args:
        members: Members of one kind, see `Placement`.
        fits: Their trainings.
        stack: Stack of their models.
    """

    def __init__(self, members: Sequence[Member], fits: Sequence[Fit], stack: Stack | BatchedStack) -> None:
        self._members, self._fits = members, fits
        models, tasks = [member.model for member in members], [member.task for member in members]
        probes, val = [fit.tracer.probe for fit in fits], [member.splits.val for member in members]
        self._tracer: StackedTracer | BatchedTracer
        self._evaluation: StackedEvaluation | BatchedEvaluation | None = None
        if isinstance(stack, BatchedStack):
            kinds = [type(module) for module in models[0] if type(module) in ELEMENTWISE]
            self._tracer = BatchedTracer(stack, kinds, probes)
            self._evaluation = BatchedEvaluation(stack, tasks, val) if len(val[0]) else None
        else:
            self._tracer = StackedTracer(models, tasks, probes)
            if 0 < len(val[0]) * _widest(models[0]) <= _MOST_VALUES:
                self._evaluation = StackedEvaluation(models, tasks, val)

    def measure(self, look: Look) -> list[Measured]:
        """Return the measurements of each model; the models must hold the current parameters."""
        for member in self._members:
            if member.model.training:
                member.model.eval()  # as `Fit.measure` leaves it
        return [Measured(*pair) for pair in zip(self._sums(), self._traces(look), strict=True)]

    def _sums(self) -> Sequence[dict[str, Tensor] | None]:
        if self._evaluation is not None:
            return self._evaluation.sums()
        if not len(self._members[0].splits.val):
            return [None] * len(self._members)
        return [evaluate_split(member.model, member.task, member.splits.val) for member in self._members]

    def _traces(self, look: Look) -> Sequence[Trace | None]:
        if not look.is_traced:
            return [None] * len(self._fits)
        return [fit.tracer.trace(layers) for fit, layers in zip(self._fits, self._tracer.look(), strict=True)]


def _widest(model: nn.Sequential) -> int:
    """Return the largest number of features of a layer."""
    return max(size for module in model if isinstance(module, nn.Linear) for size in module.weight.shape)
