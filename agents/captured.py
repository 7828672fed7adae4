"""Capture calls as CUDA graphs, so that hundreds of kernels start with one launch.

A call takes tensors and returns one tensor or None. All other tensors that it reads must keep their memory addresses:
networks, optimizers and statistics are written in place. The first calls of each kind run normally on a separate CUDA
stream, while libraries load and memory is allocated; they are real calls, so nothing is done twice. The next call is
captured, and from then on the graph is launched in its place. On a CPU, or if `on` is false, every call runs normally.
If a capture fails, every later call runs normally too.
"""

import gc
import operator
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor

from fire_rl.fire import PlasticityManager
from fire_rl.replay import Batch, Drawn

Precision = Literal["float32", "tf32", "bfloat16"]
WARM_UP = 3  # normal calls of a kind before it is captured
Result = TypeVar("Result", bound=Tensor | None)
Structure: TypeAlias = Callable[[], Sequence[Any]]
_failed: list[torch.cuda.CUDAGraph] = []  # kept, because torch's allocator still calls a graph whose capture failed


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: Sequence[Tensor]
    output: Tensor | None
    copies: bool

    def play(self, inputs: Sequence[Tensor]) -> Any:
        """Run the captured call with other inputs, or with the same tensors if nothing is copied."""
        if self.copies:
            torch._foreach_copy_(list(self.inputs), list(inputs), non_blocking=True)
        self.graph.replay()
        return self.output.clone() if self.copies and self.output is not None else self.output


class _Kind:
    """Calls that depend on the same objects: their number and their recordings, by the shapes of their inputs."""

    def __init__(self, structure: tuple[Any, ...]) -> None:
        self.structure = structure  # kept alive, so that no new object can get the identity of one of these
        self.made: Counter[Hashable] = Counter()
        self.recordings: dict[Hashable, _Recording] = {}

    def leans_on(self, structure: Sequence[Any]) -> bool:
        if len(structure) != len(self.structure):
            return False
        return all(map(operator.is_, structure, self.structure)) or all(map(_same, structure, self.structure))


def _same(one: Any, other: Any) -> bool:
    """Whether both are one object, or equal numbers, such as learning rates that a scheduler assigns at each step."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return one is other or (type(one) is type(other) and isinstance(one, int | float) and one == other)


class Captured:
    """Run calls, such as blocks of updates, from one captured graph for each kind of call."""

    def __init__(self, device: torch.device) -> None:
        self.on = False  # the caller may set it to True; it has no effect unless the device is a GPU
        self.precision: Precision = "float32"
        self.device = device
        self.say: Callable[[str], object] = warnings.warn  # prints a line for the user
        self._kinds: dict[Hashable, _Kind] = {}
        self._stream: torch.cuda.Stream | None = None
        self._said = False

    def mixed(self) -> AbstractContextManager[Any]:
        """Return a context in which products and convolutions use bfloat16, if chosen; it is for losses of updates."""
        return mixed(self.precision, self.device)

    @property
    def records(self) -> bool:
        """Whether calls are captured: the device is a GPU, and `on` is true."""
        return self.on and self.device.type == "cuda"

    def not_recorded(self, plasticity: PlasticityManager | None) -> str:
        """Return why updates with these methods are not captured, at the first call only; otherwise an empty text."""
        if not self.records or plasticity is None or plasticity.capturable or self._said:
            return ""
        self._said = True
        return (
            f"updates are not captured: {plasticity.not_capturable} acts at every step and is not marked as capturable"
        )

    def __call__(
        self,
        call: Callable[..., Result],
        inputs: Sequence[Tensor],
        kind: Hashable,
        structure: Structure = tuple,
        record: bool = True,
        precision: Precision | None = None,
        copies: bool = True,
    ) -> Result:
        """Return what `call` returns for these inputs, computed in this precision; unset: in that of updates.

        `kind` distinguishes calls beyond the shapes of their inputs. `structure` returns the objects that a recording
        depends on, such as trained parameters and random generators: when one of them is replaced, the call is captured
        again. It is not called if nothing is captured. Without `copies`, the inputs of a kind and shape must always be
        the same tensors, and the result must be read before the next call, which may overwrite it.
        """
        if self.device.type != "cuda":
            return call(*inputs)
        with products_in(precision or self.precision):
            return self._played(call, inputs, kind, structure(), copies) if self.on and record else call(*inputs)

    def _played(
        self,
        call: Callable[..., Result],
        inputs: Sequence[Tensor],
        kind: Hashable,
        structure: Sequence[Any],
        copies: bool,
    ) -> Result:
        held = self._kinds.get(kind)
        if held is None or not held.leans_on(structure):
            held = self._kinds[kind] = _Kind(tuple(structure))
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        if shapes not in held.recordings:
            held.made[shapes] += 1
            if held.made[shapes] <= WARM_UP:
                return self._aside(call, inputs)
            own = tuple(one.clone(memory_format=torch.contiguous_format) for one in inputs) if copies else tuple(inputs)
            generators = [one for one in structure if isinstance(one, torch.Generator)]
            try:
                held.recordings[shapes] = _Recording(*self._record(call, own, generators), copies)
            except Exception as error:  # of CUDA, of torch, or of a method that is wrongly marked as capturable
                self._give_up(error, structure)
        recording = held.recordings.get(shapes)
        return call(*inputs) if recording is None else recording.play(inputs)

    def _aside(self, call: Callable[..., Result], inputs: Sequence[Tensor]) -> Result:
        """Run a call normally, on the CUDA stream that will be used for the recording."""
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
    ) -> tuple[torch.cuda.CUDAGraph, Sequence[Tensor], Tensor | None]:
        """Capture the call without running it. At each launch, generators continue from their current states."""
        torch.cuda.synchronize(self.device)
        graph = torch.cuda.CUDAGraph()
        states = {one: one.clone_state() for one in generators if one.device.type == "cuda"}
        for generator in states:
            graph.register_generator_state(generator)
        stays = torch.cuda.stream(torch.cuda.current_stream(self.device))  # a failed capture does not leave its stream
        graphed = torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local")
        try:
            with without_collection(), stays, graphed:
                output = call(*inputs)
        except Exception:
            _failed.append(graph)
            for generator, state in states.items():  # the old state may count as being captured for ever
                generator.graphsafe_set_state(state)
            raise
        return graph, inputs, output

    def _give_up(self, error: Exception, structure: Iterable[Any]) -> None:
        """Capture nothing any more: older graphs have lost their generators' states. The failed call has not run."""
        self.on = False
        self._kinds.clear()
        for tensor in structure:
            if isinstance(tensor, Tensor):
                tensor.grad = None
        first = error.__context__ or error  # the end of a failed capture raises an error of its own
        self.say(f"updates are not captured: {type(first).__name__}: {' '.join(str(first).split())[:200]}")


@contextmanager
def without_collection() -> Iterator[None]:
    """Run the block without garbage collection: destroying an older graph during a capture makes the capture fail."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def mixed(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which products and convolutions use bfloat16, if that is the precision.

    Weights are rounded again at each product: cached copies would not follow the steps of a launched graph.
    """
    if precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


@contextmanager
def products_in(precision: Precision) -> Iterator[None]:
    """Run the block with products and convolutions of this precision on a GPU, and deterministic convolutions.

    A run is in float32, which is not torch's default for convolutions. Only updates, and evaluations on data, are in
    the run's precision, so acting, projections and measures never use tf32. Only losses use bfloat16 (`mixed`).
    """
    convolutions = torch.backends.cudnn
    switches = [_switch(torch.backends.cuda.matmul), _switch(convolutions, getattr(convolutions, "conv", None))]
    before = [getattr(place, name) for place, name, _ in switches]
    deterministic = convolutions.deterministic
    try:
        for place, name, values in switches:
            setattr(place, name, values[precision == "tf32"])
        convolutions.deterministic = True
        yield
    finally:
        for (place, name, _), value in zip(switches, before, strict=True):
            setattr(place, name, value)
        convolutions.deterministic = deterministic


def _switch(place: Any, newer: Any = None) -> tuple[Any, str, tuple[Any, Any]]:
    """Return where torch's switch for tf32 is, its name, and its values for float32 and tf32."""
    try:
        _ = place.allow_tf32
    except RuntimeError:  # the program uses the newer names, and torch refuses to mix them with the older ones
        return newer or place, "fp32_precision", ("ieee", "tf32")
    return place, "allow_tf32", (False, True)


def to_gather(batches: Batch | Drawn) -> tuple[Sequence[Tensor], Callable[..., Batch], tuple[Tensor, ...]]:
    """Return the inputs of a call on K batches, the function that makes batches of them, and other tensors it reads."""
    if isinstance(batches, Drawn):
        return (batches.places,), batches.gather, batches.held
    return batches, Batch, ()
