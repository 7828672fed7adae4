"""Memory and work of a GPT in training are computed by arithmetic, before anything is built."""

import weakref
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import gpt_update
from fire_rl.agents.language import GPTSizes, adamw_grouped, gpt_size, gpt_sizes, make_gpt


class Memory(TorchDispatchMode):
    """Records the largest number of bytes that the tensors created inside hold at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, int] = {}
        self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for value in tree_iter(made):
            if isinstance(value, Tensor) and (storage := value.untyped_storage()).data_ptr() not in self.held:
                self.held[storage.data_ptr()] = storage.nbytes()
                weakref.finalize(storage, self.held.pop, storage.data_ptr(), None)
        self.most = max(self.most, sum(self.held.values()))
        return made


def update(module: nn.Module, optimizer: torch.optim.Optimizer, tokens: Tensor) -> None:
    scores = module(tokens)
    loss = functional.cross_entropy(scores.float().flatten(0, 1), tokens.flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("sizes", [GPTSizes(3, 4, 64, 64, 200), GPTSizes(2, 2, 32, 32, 2_000)])
def test_the_bytes_are_those_of_an_update_at_its_largest_moment(sizes, precision):
    module, tokens = make_gpt(sizes, 0), torch.zeros(8, sizes.context, dtype=torch.long)
    optimizer = adamw_grouped(module)
    before = 4 * 4 * sizes.parameters  # the weights, two moments, and the initial values that a run keeps
    mixed = precision == "bfloat16"
    with Memory() as memory, torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext():
        update(module, optimizer, tokens)
        update(module, optimizer, tokens)
    assert gpt_size(sizes, 8, precision=precision).bytes == pytest.approx(before + memory.most, rel=0.06)


def test_the_operations_are_those_of_an_update():
    sizes = GPTSizes(3, 4, 64, 64, 200)
    module = make_gpt(sizes, 0)
    optimizer = adamw_grouped(module)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        update(module, optimizer, torch.zeros(8, sizes.context, dtype=torch.long))
    assert gpt_size(sizes, 8).operations == counter.get_total_flops()


def test_fewer_sequences_at_once_take_less_memory_for_the_same_work():
    sizes = gpt_sizes("gpt-0.1b")
    whole, parts = gpt_size(sizes, 480), gpt_size(sizes, 480, at_once=60)
    assert whole.operations == parts.operations
    kept = gpt_size(sizes, 0).bytes
    assert whole.bytes - kept == 8 * (parts.bytes - kept)
    assert parts.parameters == 124_373_760
    assert 0.8e9 < parts.operations / (480 * 1_024) < 0.9e9  # the published operations per token


def test_any_size_can_be_asked_for():
    assert gpt_size(GPTSizes(2**53, 1, 2**53, 2**53, 2**53), 2**53).bytes > 2**200


def test_the_benchmark_reports_the_floor_and_how_to_get_nanogpt(capsys):
    options = gpt_update.Options(threads=torch.get_num_threads(), batch_size=1, rounds=1)
    gpt_update.main(options)
    said = capsys.readouterr().out
    assert "of the floor's tokens/s" in said
    assert "2 x 128 x 64 x 128, causal" in said
    assert "git clone https://github.com/karpathy/nanoGPT" in said


def test_a_checkout_without_a_model_is_reported_in_one_line(capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        gpt_update.NanoGPT(tmp_path, gpt_sizes("gpt-small"), torch.device("cpu"))
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
