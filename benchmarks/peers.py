"""Training of one workload with dlcli or another system, in a separate process.

    python benchmarks/peers.py SYSTEM WORKLOAD REPEATS

Prints one JSON object with the seconds per epoch of each repeat, after an uncounted warm-up repeat.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from workloads import DEVICE, LR, THREADS, WORKLOADS, Workload, as_float32, make_data

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = str(THREADS)
os.environ["JAX_PLATFORMS"] = DEVICE
warnings.filterwarnings("ignore")


class Stamp(Protocol):
    """Function to call before the first epoch and after each epoch; without `seconds` it reads the clock."""

    def __call__(self, seconds: float | None = None) -> None: ...  # noqa: D102


def dlcli(workload: Workload, epochs: int, stamp: Stamp) -> None:
    """Train with dlcli; its validation is excluded from the time, because the other systems do not validate."""
    from dlcli.openmp import prepare_process

    prepare_process()  # as the command does before it loads torch
    import torch

    from dlcli.config.schema import Config
    from dlcli.data.scaling import Scaling
    from dlcli.data.splits import DataInfo, Split, Splits
    from dlcli.model import build_mlp
    from dlcli.task import build_task
    from dlcli.training.events import EpochEnded
    from dlcli.training.fit import Fit

    scaling = Scaling.from_bytes() if workload.is_classification else None
    train = Split(*_tensors(workload, as_floats=False), scaling)
    val = train.select(torch.arange(100))
    task = "classification" if workload.is_classification else "regression"
    config = Config.model_validate(
        {
            "task": task,
            "data": {"name": "fashion_mnist" if workload.is_classification else "synthetic_regression"},
            "model": {"hidden_sizes": workload.sizes[1:-1]},
            "optimizer": {"lr": LR, "momentum": 0},
            "training": {
                "epochs": epochs,
                "batch_size": workload.batch_size,
                "step": os.environ.get("BENCH_STEP", "auto"),
                "device": DEVICE,
                "threads": int(os.environ["BENCH_THREADS"]) if "BENCH_THREADS" in os.environ else "auto",
            },
        }
    )
    info = DataInfo("random", task, workload.sizes[0], workload.sizes[-1])
    device = torch.device(DEVICE)
    splits = Splits(info, train, val, val, Scaling.identity(), Scaling.identity()).to(device, torch.float32)
    model = build_mlp(workload.sizes[0], workload.sizes[-1], config.model, seed=0).to(device)
    clock = 0.0
    stamp(clock)
    for event in Fit(model, build_task(config, splits.info, splits.target_scaling), splits, config):
        if isinstance(event, EpochEnded):
            clock += workload.n / event.examples_per_second
            stamp(clock)


def tutorial(workload: Workload, epochs: int, stamp: Stamp) -> None:
    """Train as PyTorch's beginner tutorial: torchvision converts each image to a PIL image and then to a tensor."""
    from PIL import Image
    from torch.utils.data import Dataset
    from torchvision.transforms import ToTensor

    images, labels = make_data(workload)
    images, to_tensor = images.reshape(-1, 28, 28), ToTensor()

    class Images(Dataset[tuple[Any, int]]):
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, index: int) -> tuple[Any, int]:
            return to_tensor(Image.fromarray(images[index])), int(labels[index])

    _plain_loop(Images(), workload, epochs, stamp)


def tensor_dataset(workload: Workload, epochs: int, stamp: Stamp) -> None:
    """Train with the loop of the tutorial on tensors in memory."""
    from torch.utils.data import TensorDataset

    _plain_loop(TensorDataset(*_tensors(workload)), workload, epochs, stamp)


def _plain_loop(dataset: Any, workload: Workload, epochs: int, stamp: Stamp) -> None:
    import torch
    from torch.utils.data import DataLoader

    torch.set_num_threads(THREADS)
    loader = DataLoader(dataset, batch_size=workload.batch_size, shuffle=True)
    model = _network(workload).to(DEVICE)
    criterion = _criterion(workload)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    stamp()
    for _ in range(epochs):
        total = 0.0
        for inputs, targets in loader:
            inputs, targets = inputs.to(DEVICE), targets.to(DEVICE)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(inputs)
        stamp()


def lightning(workload: Workload, epochs: int, stamp: Stamp) -> None:
    """Train with Lightning without progress bar, logger, checkpoints and summary, which would make it slower."""
    import lightning as pl
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(THREADS)
    network, criterion = _network(workload), _criterion(workload)

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Any, _index: int) -> Any:
            loss = criterion(self.network(batch[0]), batch[1])
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=LR)

        def on_train_start(self) -> None:
            stamp()

        def on_train_epoch_end(self) -> None:
            stamp()

    off = ("enable_progress_bar", "logger", "enable_checkpointing", "enable_model_summary")
    accelerator = "cpu" if DEVICE == "cpu" else "gpu"
    trainer = pl.Trainer(max_epochs=epochs, accelerator=accelerator, devices=1, **dict.fromkeys(off, False))
    trainer.fit(Module(), DataLoader(TensorDataset(*_tensors(workload)), workload.batch_size, shuffle=True))


def skorch(workload: Workload, epochs: int, stamp: Stamp) -> None:
    """Train with skorch without validation and printing."""
    import torch
    from skorch import NeuralNetClassifier, NeuralNetRegressor
    from skorch.callbacks import Callback

    torch.set_num_threads(THREADS)

    class Stamps(Callback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            stamp()

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            stamp()

    kind = NeuralNetClassifier if workload.is_classification else NeuralNetRegressor
    net = kind(
        _network(workload),
        criterion=_criterion(workload),
        optimizer=torch.optim.SGD,
        lr=LR,
        device=DEVICE,
        batch_size=workload.batch_size,
        max_epochs=epochs,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
        callbacks=[("stamps", Stamps())],
    )
    inputs, targets = make_data(workload)
    net.fit(as_float32(inputs), targets.astype("int64") if workload.is_classification else targets)


def scikit_learn(workload: Workload, epochs: int, stamp: Stamp) -> None:
    """Train scikit-learn's multi-layer perceptron in float32."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    if DEVICE != "cpu":
        sys.exit("scikit-learn trains only on the CPU")
    inputs, targets = make_data(workload)
    inputs = as_float32(inputs)
    kind = MLPClassifier if workload.is_classification else MLPRegressor
    net = kind(
        hidden_layer_sizes=workload.sizes[1:-1],
        activation="logistic",
        solver="sgd",
        alpha=0,
        batch_size=workload.batch_size,
        learning_rate_init=LR,
        momentum=0,
        nesterovs_momentum=False,
    )
    classes = {"classes": range(workload.sizes[-1])} if workload.is_classification else {}
    stamp()
    for _ in range(epochs):
        net.partial_fit(inputs, targets if workload.is_classification else targets.ravel(), **classes)
        stamp()


def keras_jax(workload: Workload, epochs: int, stamp: Stamp) -> None:
    """Train with Keras on JAX."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    hidden = [keras.layers.Dense(size, activation="sigmoid") for size in workload.sizes[1:-1]]
    net = keras.Sequential([keras.Input((workload.sizes[0],)), *hidden, keras.layers.Dense(workload.sizes[-1])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if workload.is_classification else "mse"
    net.compile(optimizer=keras.optimizers.SGD(LR), loss=loss)

    class Stamps(keras.callbacks.Callback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            stamp()

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            stamp()

    inputs, targets = make_data(workload)
    targets = targets.astype("int32") if workload.is_classification else targets
    net.fit(as_float32(inputs), targets, workload.batch_size, epochs, verbose=0, callbacks=[Stamps()])


def jax_scan(workload: Workload, epochs: int, stamp: Stamp) -> None:
    """Train with JAX with the whole epoch compiled as one lax.scan, the fastest system not based on torch."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    inputs, targets = make_data(workload)
    x = jnp.asarray(as_float32(inputs))
    y = jnp.asarray(targets.astype("int32") if workload.is_classification else targets)
    generator = np.random.default_rng(0)
    pairs = list(zip(workload.sizes, workload.sizes[1:], strict=False))
    parameters = jax.tree.map(
        jnp.asarray,
        [((generator.uniform(-1, 1, (a, b)) / a**0.5).astype("f4"), np.zeros(b, "f4")) for a, b in pairs],
    )

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        for weight, bias in parameters[:-1]:
            x = jax.nn.sigmoid(x @ weight + bias)
        outputs = x @ parameters[-1][0] + parameters[-1][1]
        if workload.is_classification:
            return -jnp.take_along_axis(jax.nn.log_softmax(outputs), y[:, None], 1).mean()
        return ((outputs - y) ** 2).mean()

    def step(parameters: Any, index: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x[index], y[index])
        return jax.tree.map(lambda p, g: p - LR * g, parameters, gradients), loss

    @jax.jit
    def epoch(parameters: Any, order: Any) -> Any:
        whole = workload.n // workload.batch_size
        size = workload.batch_size
        parameters, losses = jax.lax.scan(step, parameters, order[: whole * size].reshape(whole, size))
        if whole * size < workload.n:
            parameters, _ = step(parameters, order[whole * size :])
        return parameters, losses.mean()

    stamp()
    for _ in range(epochs):
        parameters, loss = epoch(parameters, jnp.asarray(generator.permutation(workload.n).astype("int32")))
        float(loss)
        stamp()


def products(workload: Workload, epochs: int, stamp: Stamp) -> None:
    """Time the matrix products alone, each with the best of one or all threads and of MKL or oneDNN: a lower bound."""
    import torch

    total = 0.0
    for layer, (a, b) in enumerate(zip(workload.sizes, workload.sizes[1:], strict=False)):
        h, weight, delta = (
            torch.randn(shape, device=DEVICE) for shape in ((workload.batch_size, a), (b, a), (workload.batch_size, b))
        )
        for left, right in [(h, weight.t()), (delta.t(), h)] + ([(delta, weight)] if layer else []):
            out = left.new_empty(left.shape[0], right.shape[1])
            total += _best_seconds(partial(torch.mm, left, right, out=out))
    for epoch in range(epochs + 1):
        stamp(epoch * total * workload.n / workload.batch_size)


def _best_seconds(product: Callable[[], Any]) -> float:
    """Return the shortest time of a product; on a GPU, averaged over many calls that are queued without waiting."""
    import torch

    is_cpu = DEVICE == "cpu"
    variants = itertools.product({1, THREADS}, ("highest", "medium")) if is_cpu else [(THREADS, "highest")]
    calls = 1 if is_cpu else 100
    best = float("inf")
    for threads, precision in variants:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        for _ in range(50):
            start = time.perf_counter()
            for _ in range(calls):
                product()
            if not is_cpu:
                torch.cuda.synchronize()
            best = min(best, (time.perf_counter() - start) / calls)
    return best


def _tensors(workload: Workload, *, as_floats: bool = True) -> tuple[Any, Any]:
    import torch

    inputs, targets = make_data(workload)
    targets = targets.astype("int64") if workload.is_classification else targets
    return torch.from_numpy(as_float32(inputs) if as_floats else inputs), torch.from_numpy(targets)


def _network(workload: Workload) -> Any:
    from torch import nn

    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in zip(workload.sizes, workload.sizes[1:], strict=False):
        layers += [nn.Linear(a, b), nn.Sigmoid()]
    return nn.Sequential(*layers[:-1])


def _criterion(workload: Workload) -> Any:
    from torch import nn

    return nn.CrossEntropyLoss() if workload.is_classification else nn.MSELoss()


SYSTEMS: dict[str, Callable[[Workload, int, Stamp], None]] = {
    "products alone": products,
    "dlcli": dlcli,
    "JAX, lax.scan": jax_scan,
    "Keras on JAX": keras_jax,
    "scikit-learn": scikit_learn,
    "skorch": skorch,
    "TensorDataset loop": tensor_dataset,
    "Lightning": lightning,
    "torchvision tutorial": tutorial,
}


def main() -> None:
    """Train and print the seconds per epoch of each repeat."""
    system, name, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
    workload = WORKLOADS[name]
    stamps: list[float] = []

    def stamp(seconds: float | None = None) -> None:
        stamps.append(time.perf_counter() if seconds is None else seconds)

    SYSTEMS[system](workload, workload.epochs * (repeats + 1), stamp)
    block = workload.epochs
    seconds = [(stamps[i + block] - stamps[i]) / block for i in range(0, len(stamps) - block, block)]
    print(json.dumps({"system": system, "seconds_per_epoch": seconds[1:]}))


if __name__ == "__main__":
    main()
