"""A fully connected network as a plain nn.Sequential."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.autograd.function import FunctionCtx

from dlcli.config.schema import ModelSection


class _HeavisideFunction(torch.autograd.Function):
    """1 where the input is positive, else 0; the derivative is 0 everywhere it exists."""

    @staticmethod
    def forward(_ctx: FunctionCtx, z: Tensor) -> Tensor:
        return (z > 0).to(z.dtype)

    @staticmethod
    def backward(_ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        return torch.zeros_like(gradient)


class Heaviside(nn.Module):
    """The step function of the first neurons. No gradient passes through it: the layers below never learn."""

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

# Draw the first weights of one layer; biases are set to 0 unless the initialisation says otherwise below.
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
    """Return Linear, activation, …, Linear on the CPU: logits or outputs, never probabilities.

    By the number of hidden layers:

        []      Linear(in, out): linear regression, or the linear classifier
        [h]     Linear(in, h), σ, Linear(h, out)
        [h, k]  Linear(in, h), σ, Linear(h, k), σ, Linear(k, out)

    With dropout above 0 a Dropout follows each activation.

    Args:
        in_features: Length of an input.
        out_features: Number of classes, or length of a target.
        config: Sizes, activation, initialisation, dropout.
        seed: Decides the first parameters, drawn in float32 layer by layer, weight before bias.
        dtype: Type of the parameters.
    """
    generator = Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    sizes = (in_features, *config.hidden_sizes)
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [_linear(fan_in, fan_out, config.init, generator), ACTIVATIONS[config.activation]()]
        if config.dropout > 0:
            layers.append(nn.Dropout(config.dropout))
    layers.append(_linear(sizes[-1], out_features, config.init, generator))
    return nn.Sequential(*layers).to(dtype)


def _linear(fan_in: int, fan_out: int, init: str, generator: Generator) -> nn.Linear:
    # Not nn.utils.skip_init: its meta tensors import sympy, a third of a second.
    with torch.random.fork_rng(devices=()):
        layer = nn.Linear(fan_in, fan_out)
    with torch.no_grad():
        if init == "default":  # nn.Linear.reset_parameters, bit for bit, but from our generator
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            bound = 1 / math.sqrt(fan_in)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        else:
            INITIALISATIONS[init](layer.weight, generator)
            nn.init.zeros_(layer.bias)
            if init == "normal":  # θ ~ N(0, 1): biases are parameters like any other
                nn.init.normal_(layer.bias, generator=generator)
    return layer


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers training changes."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@dataclass(frozen=True)
class LayerSize:
    """A Linear layer's size, and what follows from it.

    Attributes:
        fan_in: Length of what it takes.
        fan_out: Length of what it gives.
    """

    fan_in: int
    fan_out: int

    @property
    def parameters(self) -> int:
        """A weight for each pair, a bias for each output."""
        return self.fan_in * self.fan_out + self.fan_out

    @property
    def flops(self) -> int:
        """Operations of the product with the weights for one example: two for each multiply-add."""
        return 2 * self.fan_in * self.fan_out


def layer_sizes(model: nn.Sequential) -> tuple[LayerSize, ...]:
    """Return the sizes of the Linear layers, first to last."""
    return tuple(LayerSize(one.in_features, one.out_features) for one in model if isinstance(one, nn.Linear))


def forward_flops(sizes: Sequence[LayerSize]) -> int:
    """Return the operations that the model's output takes for one example.

    Matrix products alone, two operations for each multiply-add; biases and activations are a hundredth of that in
    layers of a hundred units.
    """
    return sum(size.flops for size in sizes)


def training_flops(sizes: Sequence[LayerSize]) -> int:
    """Return the operations of forward and backward for one example, counted as in `forward_flops`.

    Backward has two products of forward's size for each layer, for the weights and for what the layer takes; nobody
    asks for the gradient of the first layer's inputs.
    """
    return 3 * forward_flops(sizes) - sizes[0].flops
