"""The algorithm of the slide, three times: as dlcli runs it, in torch, in jax.

    Gradient descent (X, Y, L, t, α)
        θ ← N(0, 1)
        repeat t times:  J ← ∇_θ L(X, Y, θ);  θ ← θ − α J

    python docs/three_loops.py [float64 | float32]

Same first parameters, same batches, same α: so the same θ comes out, but for rounding. Needs jax (`pip install jax`).
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

from dlcli.api import load_config, set_up
from dlcli.training.batches import draw_order
from dlcli.training.fit import Fit

# What is learned: handwritten digits, by 64 → 32 → 10 units with a sigmoid between.
ALPHA, EPOCHS, BATCH_SIZE = 0.5, 2, 50
PRECISION = sys.argv[1] if len(sys.argv) > 1 else "float64"
TOLERANCE = {"float64": 1e-12, "float32": 1e-4}[PRECISION]
jax.config.update("jax_enable_x64", PRECISION == "float64")

SETTINGS = [
    "model={hidden_sizes: [32], activation: sigmoid, init: normal}",
    f"optimizer={{name: sgd, lr: {ALPHA}}}",
    "scheduler=null",
    f"training={{epochs: {EPOCHS}, batch_size: {BATCH_SIZE}, precision: {PRECISION}, device: cpu}}",
]
CONFIG = load_config("digits", SETTINGS).config
START = set_up(CONFIG)
X, Y = START.splits.train.inputs, START.splits.train.targets
ORDERS = [draw_order(len(X), CONFIG.seed, epoch) for epoch in range(1, EPOCHS + 1)]
BATCHES = [batch for order in ORDERS for batch in order.split(BATCH_SIZE)]


def dlcli_loop(step: str) -> list[np.ndarray]:
    """All of it is in the YAML; `step` says who differentiates: autograd (eager), or the formulas (manual)."""
    config = load_config("digits", [*SETTINGS, f"training.step={step}"]).config
    setup = set_up(config)
    for _event in Fit(setup.model, setup.task, setup.splits, config):
        pass
    return parameters(setup.model)


def torch_loop() -> list[np.ndarray]:
    """As on the slide: backward, step, zero_grad."""
    model = copy.deepcopy(START.model)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=ALPHA)
    for batch in BATCHES:
        loss = criterion(model(X[batch]), Y[batch])
        loss.backward()  # J ← ∇_θ L(X, Y, θ)
        optimizer.step()  # θ ← θ − α J
        optimizer.zero_grad()  # do not forget!
    return parameters(model)


def log_f(x: jax.Array, theta: list[jax.Array]) -> jax.Array:
    """The logarithm of f(x, θ) = softmax(ξᵀ σ̄(φᵀ x̄))."""
    phi, phi_bias, xi, xi_bias = theta
    z = jax.nn.sigmoid(x @ phi.T + phi_bias)
    return jax.nn.log_softmax(z @ xi.T + xi_bias)


def L(x: jax.Array, y: jax.Array, theta: list[jax.Array]) -> jax.Array:  # noqa: N802  # as on the slide
    """−1/n Σ_j Σ_i P(y_{j,i} | x_j) log f(x_j, θ)_i."""
    return -(jax.nn.one_hot(y, 10) * log_f(x, theta)).sum(axis=1).mean()


def jax_loop() -> list[np.ndarray]:
    """As on the slide: a function goes in, its gradient comes out."""
    gradient = jax.jit(jax.grad(L, argnums=2))
    theta = [jnp.asarray(one) for one in parameters(START.model)]
    for batch in BATCHES:
        J = gradient(X[batch].numpy(), Y[batch].numpy(), theta)  # noqa: N806
        theta = [one - ALPHA * slope for one, slope in zip(theta, J, strict=True)]
    return [np.asarray(one) for one in theta]


def parameters(model: nn.Sequential) -> list[np.ndarray]:
    """Return copies of φ, its bias, ξ, its bias."""
    return [one.detach().numpy().copy() for one in model.parameters()]


def largest_difference(some: Iterable[np.ndarray], others: Iterable[np.ndarray]) -> float:
    """Return how far two sets of parameters are apart where they differ most."""
    return max(float(np.abs(a - b).max()) for a, b in zip(some, others, strict=True))


def main() -> None:
    """Run all, and print how far apart they end."""
    by_torch = torch_loop()
    ended = {"dlcli, eager": dlcli_loop("eager"), "dlcli, manual": dlcli_loop("manual"), "jax.grad": jax_loop()}
    way = largest_difference(parameters(START.model), by_torch)
    print(f"{len(BATCHES)} steps in {PRECISION}; a parameter moved by {way:.2f} at most")
    print("largest difference of a parameter from the torch loop's:")
    differences = {name: largest_difference(theta, by_torch) for name, theta in ended.items()}
    for name, difference in differences.items():
        print(f"  {name:<14} {difference:.1e}")
    if max(differences.values()) > TOLERANCE:
        sys.exit("they are not the same algorithm")
    print("the same θ, but for rounding")


if __name__ == "__main__":
    main()
