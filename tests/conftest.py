"""What all tests share."""

import os

import pytest

# Tests compute on small volumes, several test processes at once: one thread each is fastest, and
# subprocesses that tests start inherit it. Set before torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    import torch

    torch.set_num_threads(1)
