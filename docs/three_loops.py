"""Gradient descent of the lecture in dlcli, torch and JAX.

    Gradient descent (X, Y, L, t, α)
        θ ← N(0, 1)
        repeat t times:  J ← ∇_θ L(X, Y, θ);  θ ← θ − α J

    python docs/three_loops.py [float64 | float32]

All three use the same initial parameters, batches and α, and give the same θ up to rounding. Needs jax
(`pip install jax`).
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

from dlcli.api import build_experiment, load_config
from dlcli.training.batches import draw_order
from dlcli.training.fit import Fit

# Handwritten digits, 64 → 32 → 10 units with a sigmoid hidden layer.
ALPHA, EPOCHS, BATCH_SIZE = 0.5, 2, 50
PRECISION = sys.argv[1] if len(sys.argv) > 1 else "float64"
TOLERANCE = {"float64": 1e-12, "float32": 1e-4}[PRECISION]
jax.config.update("jax_enable_x64", PRECISION == "float64")

SETTINGS = [
    "model={hidden_sizes: [32], activation: sigmoid, init: normal}",
    f"optimizer={{name: sgd, lr: {ALPHA}, momentum: 0}}",
    "scheduler=null",
    f"training={{epochs: {EPOCHS}, batch_size: {BATCH_SIZE}, precision: {PRECISION}, device: cpu}}",
]
CONFIG = load_config("digits", SETTINGS).config
START = build_experiment(CONFIG)
torch.set_num_threads(START.arithmetic.threads)  # as dlcli: the last bits of a product depend on it on some processors
X, Y = START.splits.train.inputs, START.splits.train.targets
ORDERS = [draw_order(len(X), CONFIG.seed, epoch) for epoch in range(1, EPOCHS + 1)]
BATCHES = [batch for order in ORDERS for batch in order.split(BATCH_SIZE)]


def dlcli_loop(step: str) -> list[np.ndarray]:
    """Train with dlcli; `step` selects autograd (eager) or the analytic gradients (manual)."""
    config = load_config("digits", [*SETTINGS, f"training.step={step}"]).config
    experiment = build_experiment(config)
    for _event in Fit(experiment.model, experiment.task, experiment.splits, config):
        pass
    return parameters(experiment.model)


def torch_loop() -> list[np.ndarray]:
    """Train with torch as on the slide: backward, step, zero_grad."""
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
    """Return log f(x, θ) with f(x, θ) = softmax(ξᵀ σ̄(φᵀ x̄))."""
    phi, phi_bias, xi, xi_bias = theta
    z = jax.nn.sigmoid(x @ phi.T + phi_bias)
    return jax.nn.log_softmax(z @ xi.T + xi_bias)


def L(x: jax.Array, y: jax.Array, theta: list[jax.Array]) -> jax.Array:  # noqa: N802  # as on the slide
    """Return −1/n Σ_j Σ_i P(y_{j,i} | x_j) log f(x_j, θ)_i."""
    return -(jax.nn.one_hot(y, 10) * log_f(x, theta)).sum(axis=1).mean()


def jax_loop() -> list[np.ndarray]:
    """Train with JAX as on the slide: jax.grad turns the loss function into its gradient function."""
    gradient = jax.jit(jax.grad(L, argnums=2))
    theta = [jnp.asarray(array) for array in parameters(START.model)]
    for batch in BATCHES:
        J = gradient(X[batch].numpy(), Y[batch].numpy(), theta)  # noqa: N806
        theta = [array - ALPHA * slope for array, slope in zip(theta, J, strict=True)]
    return [np.asarray(array) for array in theta]


def parameters(model: nn.Sequential) -> list[np.ndarray]:
    """Return copies of φ, its bias, ξ, its bias."""
    return [parameter.detach().numpy().copy() for parameter in model.parameters()]


def largest_difference(first: Iterable[np.ndarray], second: Iterable[np.ndarray]) -> float:
    """Return the largest absolute difference between two sets of parameters."""
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True))


def main() -> None:
    """Run all loops and print the differences of their parameters."""
    by_torch = torch_loop()
    trained = {"dlcli, eager": dlcli_loop("eager"), "dlcli, manual": dlcli_loop("manual"), "jax.grad": jax_loop()}
    distance = largest_difference(parameters(START.model), by_torch)
    print(f"{len(BATCHES)} steps in {PRECISION}; largest change of a parameter: {distance:.2f}")
    print("largest difference from the parameters of the torch loop:")
    differences = {name: largest_difference(theta, by_torch) for name, theta in trained.items()}
    for name, difference in differences.items():
        print(f"  {name:<14} {difference:.1e}")
    if max(differences.values()) > TOLERANCE:
        sys.exit("the results differ by more than rounding")
    print("the same θ up to rounding")


if __name__ == "__main__":
    main()
