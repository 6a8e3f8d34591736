"""Validation of checkpoint tensors: names, types, shapes and values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise

import torch
from torch import Tensor

from dlcli.runs.header import Header

Tensors = Mapping[str, Tensor]
_SCALINGS = ("input_scaling", "target_scaling")
_STATES = {"sgd": (), "adam": ("mean", "square"), "adamw": ("mean", "square"), "rmsprop": ("square",)}
_NORM_VECTORS, _NORM_COUNT = ("weight", "bias", "running_mean", "running_var"), "num_batches_tracked"
_WITH_MOMENTUM = ("sgd", "rmsprop")  # these keep a velocity if optimizer.momentum is not 0


def find_problem(tensors: Tensors, header: Header) -> str | None:
    """Return the first problem with the tensors of a checkpoint as a sentence, or None.

    Args:
        tensors: Tensors by their names in the file.
        header: Header that determines the expected tensors.
    """
    return next(_problems(tensors, header), None)


def part(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    """Return the tensors of one part, with the prefix removed from their names."""
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


def _problems(tensors: Tensors, header: Header) -> Iterator[str]:
    parts = {"model", *_SCALINGS} | ({"optimizer", "sums", "generators"} if header.training else set())
    yield from (f"unexpected tensor {name}" for name in tensors if name.partition(".")[0] not in parts)
    yield from _model_problems(part("model", tensors), header)
    for name in _SCALINGS:
        yield from _scaling_problems(name, part(name, tensors))
    if header.training is not None:
        yield from _optimizer_problems(part("optimizer", tensors), part("model", tensors), header)
        yield from _sum_problems(part("sums", tensors), header.training.position.examples)
        yield from _generator_problems(part("generators", tensors))


def _model_problems(parameters: Tensors, header: Header) -> Iterator[str]:
    """Yield differences between the parameters and the model in the header, and non-finite parameters."""
    settings = header.settings
    hidden, dropout = settings.get("model.hidden_sizes"), settings.get("model.dropout")
    if not isinstance(hidden, list) or not all(isinstance(size, int) for size in hidden):
        yield "its settings do not contain a valid model.hidden_sizes"
        return
    has_norm = bool(settings.get("model.batch_norm"))
    spacing = 2 + has_norm + bool(dropout)  # Linear, BatchNorm1d, activation, Dropout
    weights = [f"{i * spacing}.weight" for i in range(len(hidden) + 1)]
    norms = {f"{i * spacing + 1}": size for i, size in enumerate(hidden) if isinstance(size, int) and has_norm}
    names = [name for weight in weights for name in (weight, weight.replace("weight", "bias"))]
    names += [f"{norm}.{kind}" for norm in norms for kind in (*_NORM_VECTORS, _NORM_COUNT)]
    if sorted(parameters) != sorted(names):
        yield f"its parameters do not match a model with hidden_sizes {hidden}"
        return
    widths = [size for size in hidden if isinstance(size, int)]
    sizes = [header.data.in_features, *widths, header.data.out_features]
    dtype = torch.float64 if settings.get("training.precision") == "float64" else torch.float32
    for name, (fan_in, fan_out) in zip(weights, pairwise(sizes), strict=True):
        bias = name.replace("weight", "bias")
        yield from _tensor_problems(f"model.{name}", parameters[name], (fan_out, fan_in), dtype)
        yield from _tensor_problems(f"model.{bias}", parameters[bias], (fan_out,), dtype)
    for norm, size in norms.items():
        yield from _norm_problems(norm, size, parameters, dtype)


def _norm_problems(norm: str, size: int, parameters: Tensors, dtype: torch.dtype) -> Iterator[str]:
    """Yield problems with the parameters and the running statistics of a BatchNorm1d."""
    for kind in _NORM_VECTORS:
        yield from _tensor_problems(f"model.{norm}.{kind}", parameters[f"{norm}.{kind}"], (size,), dtype)
    count = parameters[f"{norm}.{_NORM_COUNT}"]
    yield from _tensor_problems(f"model.{norm}.{_NORM_COUNT}", count, (), torch.int64)
    if (parameters[f"{norm}.running_var"] < 0).any():
        yield f"model.{norm}.running_var contains negative numbers"


def _tensor_problems(
    name: str, value: Tensor, shape: tuple[int, ...], dtype: torch.dtype, *, may_be_infinite: bool = False
) -> Iterator[str]:
    if tuple(value.shape) != shape or value.dtype != dtype or value.numel() == 0:
        yield f"{name} is {_describe(value)}, not {str(dtype).removeprefix('torch.')} of shape {list(shape)}"
    elif not (value.isnan().logical_not() if may_be_infinite else value.isfinite()).all():
        yield f"{name} contains non-finite numbers"


def _describe(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} of shape {list(value.shape)}"


def _scaling_problems(name: str, scaling: Tensors) -> Iterator[str]:
    if scaling.keys() != {"shift", "scale"}:
        yield f"{name} is missing"
        return
    for key, value in scaling.items():
        # Images share one value for all pixels, which may be zero-dimensional.
        shape = () if value.dim() == 0 else (scaling["shift"].numel(),)
        yield from _tensor_problems(f"{name}.{key}", value, shape, torch.float64)
    if not (scaling["scale"] > 0).all():
        yield f"{name}.scale contains numbers that are not positive"


def _optimizer_problems(state: Tensors, parameters: Tensors, header: Header) -> Iterator[str]:
    """Yield missing, unexpected and invalid tensors of the optimizer state.

    Infinity is valid in `square`: a large gradient can overflow it, which only stops the updates of that parameter.
    """
    optimizer, settings = header.settings.get("optimizer.name"), header.settings
    has_velocity = optimizer in _WITH_MOMENTUM and settings.get("optimizer.momentum")
    kinds = (*_STATES.get(str(optimizer), ()), *(("velocity",) if has_velocity else ()))
    trained = [name for name in parameters if name.endswith((".weight", ".bias"))]
    expected = {f"{kind}.{name}" for kind in kinds for name in trained}
    if state.keys() != expected:
        yield f"its optimizer state does not match {optimizer}"
        return
    for name, value in state.items():
        like = parameters[name.partition(".")[2]]
        yield from _tensor_problems(
            f"optimizer.{name}", value, tuple(like.shape), like.dtype, may_be_infinite=name.startswith("square.")
        )


def _sum_problems(sums: Tensors, examples: int) -> Iterator[str]:
    if sums.keys() != {"loss", "weight"} or any(
        value.dim() or not value.is_floating_point() for value in sums.values()
    ):
        yield "the sums of the current epoch are missing or invalid"
        return
    loss, weight = (float(sums[name]) for name in ("loss", "weight"))
    if not math.isfinite(loss) or not math.isfinite(weight) or (weight > 0) != (examples > 0):
        yield f"its sums over {examples} examples, {loss} and {weight}, are impossible"


def _generator_problems(generators: Tensors) -> Iterator[str]:
    if "cpu" not in generators or not generators.keys() <= {"cpu", "cuda"}:
        yield "the state of the random generator is missing"
        return
    for name, state in generators.items():
        if state.dtype != torch.uint8 or state.dim() != 1:
            yield f"generators.{name} is {_describe(state)}, not bytes"
        elif name == "cuda" and (len(state) != 16 or int(state[8:].view(torch.int64)) % 4):
            yield "generators.cuda is not the state of a random generator"
    try:
        torch.Generator().set_state(generators["cpu"])
    except (RuntimeError, TypeError):
        yield "generators.cpu is not the state of a random generator"
