import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Two threads of torch wait for each other where other programs have the cores."""
    torch.set_num_threads(1)
