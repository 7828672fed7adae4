"""Calls recorded as CUDA graphs, so that hundreds of kernels start with one launch.

A call takes tensors and returns one. What else it reads must stay where it is: networks, optimizers and statistics are
written in place. Its first calls of a kind are ordinary ones on a stream of their own, and count: libraries load and
memory is laid out during them, and nothing is done twice. The next one is recorded, and from then on it is played.
On a CPU, or where `on` is false, every call is an ordinary one.
"""

import operator
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from fire_rl.fire import PlasticityManager
from fire_rl.replay import Batch, Drawn

Precision = Literal["float32", "tf32", "bfloat16"]
WARM_UP = 3  # ordinary calls of a kind before it is recorded
Result = TypeVar("Result", bound=Tensor | None)
Structure: TypeAlias = Callable[[], Sequence[Any]]


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    output: Tensor | None

    def play(self, inputs: Sequence[Tensor]) -> Any:
        """The same with other inputs; the result is the caller's to keep."""
        torch._foreach_copy_(list(self.inputs), list(inputs), non_blocking=True)
        self.graph.replay()
        return None if self.output is None else self.output.clone()


class _Kind:
    """Calls that lean on the same objects: how many were made, and what was recorded, by the shapes of their inputs."""

    def __init__(self, structure: tuple[Any, ...]) -> None:
        self.structure = structure  # held, so that no other object takes an identity over
        self.made: Counter[Hashable] = Counter()
        self.recordings: dict[Hashable, _Recording] = {}

    def leans_on(self, structure: Sequence[Any]) -> bool:
        return len(structure) == len(self.structure) and all(map(operator.is_, structure, self.structure))


class Captured:
    """Plays calls of one kind, such as blocks of so many updates, from a graph for each kind."""

    def __init__(self, device: torch.device) -> None:
        self.on = False  # set to true by who wants it; nothing changes where the device is no GPU
        self.precision: Precision = "float32"
        self.device = device
        self._kinds: dict[Hashable, _Kind] = {}
        self._stream: torch.cuda.Stream | None = None
        self._said = False

    def mixed(self) -> AbstractContextManager[Any]:
        """Within, products and convolutions are of bfloat16 if that is wanted: for the losses of updates."""
        return mixed(self.precision, self.device)

    @property
    def records(self) -> bool:
        """Whether there is anything to record, and that is wanted."""
        return self.on and self.device.type == "cuda"

    def not_recorded(self, plasticity: PlasticityManager | None) -> str:
        """Why updates with these methods are not recorded, the first time that it is asked; else nothing."""
        if not self.records or plasticity is None or plasticity.capturable or self._said:
            return ""
        self._said = True
        return (
            f"updates are not recorded: {plasticity.not_capturable} acts at every step, and is not marked as capturable"
        )

    def __call__(
        self,
        call: Callable[..., Result],
        inputs: Sequence[Tensor],
        kind: Hashable,
        structure: Structure = tuple,
        record: bool = True,
    ) -> Result:
        """What `call` returns for these inputs.

        `kind` names what distinguishes calls besides the shapes of their inputs, and `structure` gives the objects that
        a recording leans on, such as the trained parameters and the random streams that are drawn from: once one is
        another, the kind is recorded anew. Where nothing is recorded it is not asked.
        """
        if self.device.type != "cuda":
            return call(*inputs)
        with products_in(self.precision):
            return self._played(call, inputs, kind, structure()) if self.on and record else call(*inputs)

    def _played(
        self, call: Callable[..., Result], inputs: Sequence[Tensor], kind: Hashable, structure: Sequence[Any]
    ) -> Result:
        held = self._kinds.get(kind)
        if held is None or not held.leans_on(structure):
            held = self._kinds[kind] = _Kind(tuple(structure))
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        if (recording := held.recordings.get(shapes)) is None:
            held.made[shapes] += 1
            if held.made[shapes] <= WARM_UP:
                return self._aside(call, inputs)
            generators = [one for one in held.structure if isinstance(one, torch.Generator)]
            recording = held.recordings[shapes] = self._record(call, inputs, generators)
        result: Result = recording.play(inputs)
        return result

    def _aside(self, call: Callable[..., Result], inputs: Sequence[Tensor]) -> Result:
        """An ordinary call, on the stream that the recording will be made on."""
        self._stream = self._stream or torch.cuda.Stream(self.device)
        now = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(now)
        with torch.cuda.stream(self._stream):
            result = call(*inputs)
        now.wait_stream(self._stream)
        if result is not None:
            result.record_stream(now)
        return result

    def _record(
        self, call: Callable[..., Tensor | None], inputs: Sequence[Tensor], generators: Iterable[torch.Generator]
    ) -> _Recording:
        """Records the call without running it. Its random numbers go on from where the generators are at each play."""
        static = tuple(tensor.clone(memory_format=torch.contiguous_format) for tensor in inputs)
        torch.cuda.synchronize(self.device)
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            if generator.device.type == "cuda":
                graph.register_generator_state(generator)
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            output = call(*static)
        return _Recording(graph, static, output)


def mixed(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Within, products and convolutions are of bfloat16 if that is the precision.

    Weights are rounded anew at each product: copies that are kept would not follow steps that are played.
    """
    if precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


@contextmanager
def products_in(precision: Precision) -> Iterator[None]:
    """Products and convolutions within are of this precision on a GPU, and convolutions repeat bit by bit.

    What lies outside stays as it was: projections and measures never see tf32. Of bfloat16 are the losses alone.
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32, convolutions.deterministic
    try:
        products.allow_tf32 = convolutions.allow_tf32 = precision == "tf32"
        convolutions.deterministic = True
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32, convolutions.deterministic = before


NOTHING = np.empty(0)


class FromHost:
    """A captured call whose input comes from the host and whose result goes back to it, by pinned memory."""

    def __init__(self, captured: Captured) -> None:
        self.captured = captured
        self._sent: dict[Hashable, tuple[Tensor, Tensor]] = {}  # on the host, and on the device
        self._results: dict[Hashable, Tensor] = {}
        self._taken: torch.cuda.Event | None = None

    def __call__(
        self,
        call: Callable[[Tensor], Tensor | None],
        array: np.ndarray,
        kind: Hashable,
        structure: Structure = tuple,
    ) -> np.ndarray:
        """What `call` returns for the array, as an array that stays the caller's; empty where it returns nothing."""
        result = self.captured(call, (self._send(array),), kind, structure)
        return NOTHING if result is None else self._fetch(result, kind)

    def _send(self, array: np.ndarray) -> Tensor:
        """The array on the device. What was sent last is not sent again: one observes, then acts."""
        device = self.captured.device
        if device.type == "cpu":
            return torch.as_tensor(array)
        given = torch.from_numpy(np.ascontiguousarray(array))
        key = given.shape, given.dtype
        if key in self._sent:
            kept, moved = self._sent[key]
            if torch.equal(kept, given):
                return moved
            if self._taken is not None:
                self._taken.synchronize()  # until then the last copy may still be reading
        else:
            kept = torch.empty_like(given, pin_memory=device.type == "cuda")
            self._sent[key] = kept, torch.empty_like(given, device=device)
        kept, moved = self._sent[key]
        kept.copy_(given)
        moved.copy_(kept, non_blocking=True)
        if device.type == "cuda":
            self._taken = self._taken or torch.cuda.Event()
            self._taken.record()
        return moved

    def _fetch(self, result: Tensor, kind: Hashable) -> np.ndarray:
        if result.device.type != "cuda":
            return result.cpu().numpy()
        key = kind, result.shape, result.dtype
        if key not in self._results:
            self._results[key] = torch.empty_like(result, device="cpu", pin_memory=True)
        self._results[key].copy_(result, non_blocking=True)
        torch.cuda.current_stream(result.device).synchronize()
        return self._results[key].numpy().copy()


def to_gather(batches: Batch | Drawn) -> tuple[Sequence[Tensor], Callable[..., Batch], tuple[Tensor, ...]]:
    """What a call is given of K batches, how it gets them from that, and the tensors that it reads besides."""
    if isinstance(batches, Drawn):
        return (batches.places,), batches.gather, batches.held
    return batches, Batch, ()
