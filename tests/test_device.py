"""The device switch."""

from __future__ import annotations

import pytest
import torch

from reverie import RBM, device
from reverie.errors import UsageError


@pytest.mark.parametrize(("available", "kind"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch, available, kind):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert device.resolve("auto").type == kind
    assert device.resolve("cpu") == torch.device("cpu")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("cuda", "cuda:1"):
        with pytest.raises(UsageError, match="use device='auto' or 'cpu'"):
            device.resolve(name)


def test_a_saved_model_goes_where_it_can(monkeypatch):
    """A model made on a GPU is read on a machine without one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.for_saved("cuda") == device.for_saved("cuda:1") == device.for_saved("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.for_saved("cuda:1") == torch.device("cuda:1")
    assert device.for_saved("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "", "mps:0 "])
def test_other_names_are_refused_by_the_model(name):
    with pytest.raises(UsageError, match="device"):
        RBM(2, device=name).fit([[0, 1], [1, 0]])


def test_small_products_take_one_thread_and_large_ones_the_callers():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with device.threads_for(device.SMALL - 1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with device.threads_for(device.SMALL):
            assert torch.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError), device.threads_for(1):
            raise ZeroDivisionError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
