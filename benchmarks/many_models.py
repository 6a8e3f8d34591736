"""Time of many small models: together, one by one, with a plain torch loop, and with JAX's scan under vmap.

    python benchmarks/many_models.py [--models N] [--rounds N] [--hidden N ...] [--jax-python PYTHON] [--device cuda]

The models are trained on digits for 40 epochs with batches of 32 and differ in their seed. Each system runs in a new
process, in turns; imports and compilation are excluded. dlcli reads the data, validates each epoch, and writes logs,
checkpoints and its run folders, which is included; the plain loop validates; JAX does neither. Systems that train one
model at a time train a few, since their time per model does not depend on the number. With `--device cuda`, dlcli and
the plain loop train on a GPU; JAX chooses the device itself.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

EPOCHS, BATCH, LR, MOMENTUM = 40, 32, 0.2, 0.9
FEW = 10
JAX_BLOCK = 100  # models under one vmap


def main() -> None:
    """Run the systems in turns and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hidden", type=int, nargs="*", default=[64])
    parser.add_argument("--jax-python", default=sys.executable)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--only", nargs="*", default=list(SYSTEMS), choices=list(SYSTEMS))
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {system: [] for system in options.only}
    for _ in range(options.rounds):
        for system in list(found):
            python = options.jax_python if "JAX" in system else sys.executable
            command = [
                python,
                __file__,
                "--run",
                system,
                options.device,
                str(options.models),
                *map(str, options.hidden),
            ]
            done = subprocess.run(
                command, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"}
            )
            if done.returncode != 0:
                print(f"{system} is not available and is skipped: {done.stderr[-500:]}", file=sys.stderr)
                del found[system]
            else:
                found[system].append(json.loads(done.stdout.splitlines()[-1]))
    sizes = [64, *options.hidden, 10]
    print(f"| {options.models:,} models {sizes} on {options.device} | ms a model | least-most | µs a step | peak MB |")
    print("|---|---|---|---|---|")
    for system, runs in found.items():
        each = [1e3 * run["seconds"] / run["models"] for run in runs]
        steps = runs[0]["steps"]
        peak = max(run["peak_mb"] for run in runs)
        spread = f"{min(each):.1f}-{max(each):.1f}"
        median = statistics.median(each)
        print(f"| {system} | {median:.1f} | {spread} | {1e3 * median / steps:.1f} | {peak:.0f} |")


def settings(device: str, hidden: list[int]) -> list[str]:
    """Return the settings of dlcli."""
    return [
        f"training.device={device}",
        f"training.epochs={EPOCHS}",
        f"training.batch_size={BATCH}",
        f"model.hidden_sizes={hidden}",
        f"optimizer={{name: sgd, lr: {LR}, momentum: {MOMENTUM}}}",
        "scheduler.name=none",
        "plots=never",
    ]


def dlcli_together(device: str, models: int, hidden: list[int]) -> dict[str, float]:
    """Train all models as one group."""
    import dlcli

    dlcli.train_seeds("digits", settings(device, hidden), seeds=2)
    start = time.perf_counter()
    dlcli.train_seeds("digits", settings(device, hidden), seeds=models)
    return {"seconds": time.perf_counter() - start, "models": models}


def dlcli_each(device: str, _: int, hidden: list[int]) -> dict[str, float]:
    """Train a few models in turn."""
    import dlcli

    dlcli.train("digits", settings(device, hidden))
    start = time.perf_counter()
    for seed in range(FEW):
        dlcli.train("digits", [*settings(device, hidden), f"seed={seed}"])
    return {"seconds": time.perf_counter() - start, "models": FEW}


def torch_loop(device: str, _: int, hidden: list[int]) -> dict[str, float]:
    """Train a few models as most tutorials do, without a DataLoader."""
    import torch
    from torch import nn

    inputs, labels = (torch.as_tensor(part).to(device) for part in examples())
    n = int(0.9 * len(inputs))
    train, val = (inputs[:n], labels[:n]), (inputs[n:], labels[n:])
    torch.set_num_threads(1)  # faster for models of this size
    seconds = 0.0
    for seed in (0, 1, 2, 3):
        start = time.perf_counter()
        torch.manual_seed(seed)
        sizes = [64, *hidden]
        layers = [layer for pair in zip(sizes, hidden, strict=False) for layer in (nn.Linear(*pair), nn.Sigmoid())]
        model = nn.Sequential(*layers, nn.Linear(sizes[-1], 10)).to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
        for _epoch in range(EPOCHS):
            for index in torch.randperm(n, device=device).split(BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(train[0][index]), train[1][index]).backward()
                optimizer.step()
            with torch.no_grad():
                outputs = model(val[0])
                nn.functional.cross_entropy(outputs, val[1]).item()
                (outputs.argmax(1) == val[1]).double().mean().item()
        seconds += (time.perf_counter() - start) if seed else 0.0  # the first one imports torch._dynamo
    return {"seconds": seconds, "models": 3}


def jax_scan(_: str, models: int, hidden: list[int]) -> dict[str, float]:
    """Train blocks of models in one compiled program each."""
    import jax
    import jax.numpy as jnp

    inputs, labels = (jnp.asarray(part) for part in examples())
    n = int(0.9 * len(inputs))
    batches = n // BATCH
    sizes = [64, *hidden, 10]

    def loss(parameters: list[tuple[jax.Array, jax.Array]], x: jax.Array, y: jax.Array) -> jax.Array:
        for weight, bias in parameters[:-1]:
            x = jax.nn.sigmoid(x @ weight + bias)
        weight, bias = parameters[-1]
        return -jnp.take_along_axis(jax.nn.log_softmax(x @ weight + bias), y[:, None], 1).mean()

    def step(carry: tuple[object, object], index: jax.Array) -> tuple[tuple[object, object], jax.Array]:
        parameters, velocities = carry
        value, gradients = jax.value_and_grad(loss)(parameters, inputs[index], labels[index])
        velocities = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocities, gradients)
        return (jax.tree.map(lambda p, v: p - LR * v, parameters, velocities), velocities), value

    def train(key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, len(sizes))
        parameters = [
            (jax.random.uniform(k, (a, b), minval=-(a**-0.5), maxval=a**-0.5), jnp.zeros(b))
            for k, a, b in zip(keys, sizes, sizes[1:], strict=False)
        ]
        state = parameters, jax.tree.map(jnp.zeros_like, parameters)

        def epoch(state: object, key: jax.Array) -> tuple[object, jax.Array]:
            order = jax.random.permutation(key, n)[: batches * BATCH].reshape(batches, BATCH)
            return jax.lax.scan(step, state, order)

        return jax.lax.scan(epoch, state, jax.random.split(keys[-1], EPOCHS))[1][-1, -1]

    run = jax.jit(jax.vmap(train))
    blocks = [jax.random.split(jax.random.key(number), JAX_BLOCK) for number in range(max(1, models // JAX_BLOCK))]
    run(blocks[0]).block_until_ready()
    start = time.perf_counter()
    for block in blocks:
        run(block).block_until_ready()
    return {"seconds": time.perf_counter() - start, "models": JAX_BLOCK * len(blocks)}


def examples() -> tuple[object, object]:
    """Return the training and validation examples of digits, scaled."""
    import numpy as np
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    inputs = (inputs[:1438] - inputs.mean(0)) / np.where(inputs.std(0) > 0, inputs.std(0), 1)
    return inputs.astype(np.float32), labels[:1438].astype(np.int64)


SYSTEMS: dict[str, Callable[[str, int, list[int]], dict[str, float]]] = {
    "dlcli --seeds": dlcli_together,
    "dlcli, one by one": dlcli_each,
    "plain torch loop": torch_loop,
    "JAX, scan under vmap": jax_scan,
}


def measure(system: str, device: str, models: str, *hidden: str) -> None:
    """Run a system in this process and print its measurements."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DLCLI_RUNS"] = folder
        measured = SYSTEMS[system](device, int(models), [int(size) for size in hidden])
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(user).ru_maxrss for user in users) / 1024
    print(json.dumps({**measured, "steps": EPOCHS * -(-1295 // BATCH), "peak_mb": peak}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        measure(*sys.argv[2:])
    else:
        main()
