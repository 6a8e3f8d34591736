"""Training of neural networks for regression and classification from YAML files.

In a notebook::

    import dlcli

    result = dlcli.train("digits", {"training.epochs": 5})
    run = dlcli.open_run(result)
    run.evaluate().metrics["accuracy"]
    dlcli.load(result).predict([[0] * 64])

Importing dlcli is fast: torch is imported on the first use of one of these functions.
"""

# No imports here: under `python -m dlcli` they could come from the working folder, see __main__.
TYPE_CHECKING = False  # type checkers treat it as True
if TYPE_CHECKING:
    from dlcli.api import (
        diagnose,
        draw,
        evaluate,
        explain,
        gradcheck,
        load,
        open_run,
        plan,
        predict,
        resume,
        resume_seeds,
        train,
        train_seeds,
        verify,
    )
    from dlcli.config.load import load_config

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "diagnose",
    "draw",
    "evaluate",
    "explain",
    "gradcheck",
    "load",
    "load_config",
    "open_run",
    "plan",
    "predict",
    "resume",
    "resume_seeds",
    "train",
    "train_seeds",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'dlcli' has no attribute {name!r}")
    from dlcli import openmp

    with openmp.wait_policy_set():
        from dlcli import api

        return getattr(api, name)


def __dir__() -> list[str]:
    return __all__
