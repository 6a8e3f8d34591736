"""Fully connected networks as nn.Sequential."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.autograd.function import FunctionCtx

from dlcli.config.schema import USUAL_INIT, InitFromRun, ModelSection


class _HeavisideFunction(torch.autograd.Function):
    """Heaviside step function; its derivative is 0."""

    @staticmethod
    def forward(_ctx: FunctionCtx, z: Tensor) -> Tensor:
        return (z > 0).to(z.dtype)

    @staticmethod
    def backward(_ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        return torch.zeros_like(gradient)


class Heaviside(nn.Module):
    """Heaviside step function. Its gradient is 0, so the layers below never learn."""

    def forward(self, z: Tensor) -> Tensor:
        """Return 1 where z > 0, else 0, of z's shape and type."""
        return _HeavisideFunction.apply(z)  # type: ignore[no-any-return]


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "heaviside": Heaviside,
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
}

# Initial weights of one layer; `_linear` sets biases to 0, with exceptions for two initialisations.
INITIALISATIONS: dict[str, Callable[[Tensor, Generator], object]] = {
    "normal": lambda weight, generator: nn.init.normal_(weight, generator=generator),
    "xavier_uniform": lambda weight, generator: nn.init.xavier_uniform_(weight, generator=generator),
    "xavier_normal": lambda weight, generator: nn.init.xavier_normal_(weight, generator=generator),
    "kaiming_uniform": lambda weight, generator: nn.init.kaiming_uniform_(
        weight, nonlinearity="relu", generator=generator
    ),
    "kaiming_normal": lambda weight, generator: nn.init.kaiming_normal_(
        weight, nonlinearity="relu", generator=generator
    ),
    "zeros": lambda weight, _: nn.init.zeros_(weight),
}


def build_mlp(
    in_features: int, out_features: int, config: ModelSection, *, seed: int, dtype: torch.dtype = torch.float32
) -> nn.Sequential:
    """Return a network Linear, activation, …, Linear on the CPU that outputs logits or values, never probabilities.

    Examples for different `hidden_sizes`:

        []      Linear(in, out): linear regression, or the linear classifier
        [h]     Linear(in, h), σ, Linear(h, out)
        [h, k]  Linear(in, h), σ, Linear(h, k), σ, Linear(k, out)

    With dropout above 0, a Dropout follows each activation. With `batch_norm`, a BatchNorm1d precedes it, and the state
    dict has the order `0.weight`, `0.bias` of the Linear, `1.weight`, `1.bias`, `1.running_mean`, `1.running_var`,
    `1.num_batches_tracked` of the BatchNorm1d, then the next Linear.

    Args:
        in_features: Number of input features.
        out_features: Number of classes, or of target values.
        config: Model section of the config.
        seed: Seed of the initial parameters, which are drawn in float32 layer by layer, weight before bias.
        dtype: Data type of the parameters.
    """
    generator = Generator().manual_seed(seed)
    init = USUAL_INIT if isinstance(config.init, InitFromRun) else config.init
    layers: list[nn.Module] = []
    sizes = (in_features, *config.hidden_sizes)
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers.append(_linear(fan_in, fan_out, init, generator))
        if config.batch_norm:
            layers.append(nn.BatchNorm1d(fan_out))
        layers.append(ACTIVATIONS[config.activation]())
        if config.dropout > 0:
            layers.append(nn.Dropout(config.dropout))
    layers.append(_linear(sizes[-1], out_features, init, generator))
    return nn.Sequential(*layers).to(dtype)


def _linear(fan_in: int, fan_out: int, init: str, generator: Generator) -> nn.Linear:
    # nn.utils.skip_init is not used, because its meta tensors import sympy, which takes a third of a second.
    with torch.random.fork_rng(devices=()):
        layer = nn.Linear(fan_in, fan_out)
    with torch.no_grad():
        if init == "default":  # bit-identical to nn.Linear.reset_parameters, but with our generator
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            bound = 1 / math.sqrt(fan_in)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        else:
            INITIALISATIONS[init](layer.weight, generator)
            nn.init.zeros_(layer.bias)
            if init == "normal":  # θ ~ N(0, 1) includes the biases
                nn.init.normal_(layer.bias, generator=generator)
    return layer


def take_parameters(model: nn.Sequential, parameters: Mapping[str, Tensor]) -> list[LayerMatch]:
    """Copy the parameters of another model into the layers of the same shape.

    Linear layers are matched by their place, first to last, each with its BatchNorm1d. Layers of another shape keep
    their parameters.

    Args:
        model: Model to change.
        parameters: State dict of the other model.

    Returns:
        The comparison of each Linear layer.
    """
    ours, theirs = _by_layer(model.state_dict()), _by_layer(parameters)
    theirs += [{}] * (len(ours) - len(theirs))
    matches = []
    for layer, given in zip(ours, theirs, strict=False):
        match = LayerMatch(tuple(layer["weight"].shape), tuple(given["weight"].shape) if given else None)
        matches.append(match)
        for name in layer.keys() & given.keys() if match.is_taken else ():
            layer[name].copy_(given[name])  # tensors of a state dict share the memory of the model
    return matches


def _by_layer(parameters: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return the tensors of each Linear layer as `weight` and `bias`, with its BatchNorm1d as `norm.weight`, …."""
    layers: list[dict[str, Tensor]] = []
    modules = {int(name.partition(".")[0]) for name in parameters}
    for module in map(str, sorted(modules)):
        tensors = {name.partition(".")[2]: value for name, value in parameters.items() if name.startswith(f"{module}.")}
        if tensors["weight"].dim() == 2:
            layers.append(tensors)
        else:
            layers[-1] |= {f"norm.{name}": value for name, value in tensors.items()}
    return layers


@dataclass(frozen=True)
class LayerMatch:
    """Comparison of a Linear layer with the layer in the same place of another model.

    Attributes:
        shape: Numbers of outputs and inputs.
        given: Numbers of outputs and inputs in the other model; None if it has no such layer.
    """

    shape: tuple[int, ...]
    given: tuple[int, ...] | None

    @property
    def is_taken(self) -> bool:
        """Whether the shapes agree, so that the parameters were copied."""
        return self.shape == self.given

    @property
    def difference(self) -> str:
        """Difference of the shapes in words: `10 outputs instead of 3`."""
        if self.given is None:
            return "there is none in its place"
        pairs = zip(self.shape, self.given, ("outputs", "inputs"), strict=True)
        return " and ".join(f"{ours:,} {noun} instead of {given:,}" for ours, given, noun in pairs if ours != given)


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@dataclass(frozen=True)
class LayerSize:
    """Size of a Linear layer.

    Attributes:
        fan_in: Number of inputs.
        fan_out: Number of outputs.
        is_normalized: Whether a BatchNorm1d follows.
    """

    fan_in: int
    fan_out: int
    is_normalized: bool = False

    @property
    def parameters(self) -> int:
        """Number of weights and biases, and of scales and shifts of a BatchNorm1d."""
        return self.fan_in * self.fan_out + (3 if self.is_normalized else 1) * self.fan_out

    @property
    def flops(self) -> int:
        """Operations of the matrix product for one example, two for each multiply-add."""
        return 2 * self.fan_in * self.fan_out


def layer_sizes(model: nn.Sequential) -> tuple[LayerSize, ...]:
    """Return the sizes of the Linear layers, first to last."""
    return tuple(
        LayerSize(layer.in_features, layer.out_features, isinstance(following, nn.BatchNorm1d))
        for layer, following in itertools.pairwise([*model, None])
        if isinstance(layer, nn.Linear)
    )


def forward_flops(sizes: Sequence[LayerSize]) -> int:
    """Return the operations of the forward pass for one example.

    Counts only matrix products, with two operations for each multiply-add; biases and activations take a hundredth of
    that in layers of a hundred units.
    """
    return sum(size.flops for size in sizes)


def training_flops(sizes: Sequence[LayerSize]) -> int:
    """Return the operations of the forward and backward pass for one example, counted as in `forward_flops`.

    The backward pass has two products of the forward size for each layer: one for the weights and one for the inputs.
    The gradient with respect to the first layer's inputs is not computed.
    """
    return 3 * forward_flops(sizes) - sizes[0].flops
