from __future__ import annotations

import subprocess
import sys

import pytest

from dlcli.openmp import prepare_process


def test_idle_threads_wait_briefly_unless_the_user_sets_a_wait_policy() -> None:
    prepare_process(environment := {})
    assert environment == {"GOMP_SPINCOUNT": "3000", "KMP_BLOCKTIME": "1"}
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        prepare_process(environment := {name: "5"})
        assert environment == {name: "5"}


def test_the_thread_limit_of_openmp_is_removed() -> None:
    prepare_process(environment := {"OMP_THREAD_LIMIT": "1", "OMP_WAIT_POLICY": "active"})
    assert environment == {"OMP_WAIT_POLICY": "active"}


@pytest.mark.parametrize("first", ["", "import torch\n"])
def test_using_dlcli_as_a_library_keeps_the_environment(first: str) -> None:
    program = (
        f"import os\nbefore = dict(os.environ)\n{first}import dlcli\ndlcli.plan\nassert dict(os.environ) == before"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
