"""Times a call: alone, as one of many, and without the time of launching it from the host."""

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

Call = Callable[[], Any]
Clock = Callable[[], float]
CLOCKS: Mapping[str, Clock] = {"wall": time.perf_counter, "processor": time.process_time}
RECORDED = 0.01, 500  # a graph contains calls for this many seconds, but at most this many calls
WARM = 8  # calls before those that are timed as one of many; more than agents make before they capture a graph
CHUNK = 0.05  # seconds of calls between two waits for the device


def wait(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(call: Call, device: torch.device, clock: Clock = time.perf_counter) -> float:
    """Return the seconds of one call, from an idle device until it is idle again."""
    wait(device)
    start = clock()
    call()
    wait(device)
    return clock() - start


def best(calls: Iterable[Call], device: torch.device, repeats: int = 3, clock: Clock = time.perf_counter) -> float:
    """Return the seconds of the fastest of several ways to do the same thing, each timed alone."""
    return min(seconds(call, device, clock) for call in calls for _ in range(repeats))


def best_on_device(
    calls: Iterable[Call], device: torch.device, repeats: int = 3, clock: Clock = time.perf_counter
) -> float:
    """Return the same as `best`, but on a GPU without launches, which take longer than a small kernel.

    On a GPU, each call is captured many times in one CUDA graph, so it must not wait for the device, and the graph is
    timed.
    """
    if device.type != "cuda":
        return best(calls, device, repeats, clock)
    return min(_recorded(call, device, repeats) for call in calls)


def _recorded(call: Call, device: torch.device, repeats: int) -> float:
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        call()  # loads libraries
        length, most = RECORDED
        count = max(1, min(most, int(length / seconds(call, device))))
        graph = torch.cuda.CUDAGraph()
        with uncollected():
            graph.capture_begin()
            for _ in range(count):
                call()
            graph.capture_end()
        graph.replay()
        return best([graph.replay], device, repeats) / count


@contextmanager
def uncollected() -> Iterator[None]:
    """Run the block without garbage collection, which makes a capture fail if it destroys an older graph.

    Nothing is collected before: hundreds of products are captured one after another, and each collection takes up to
    0.2 seconds.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Pace(NamedTuple):
    """The seconds of one call among many: until the device has done it, and until the host has queued it."""

    done: float
    queued: float


def pace(call: Call, device: torch.device, length: float) -> Pace:
    """Time calls one after another for about `length` seconds, with few waits for the device between them."""
    for _ in range(WARM):
        call()
    chunk = max(1, int(min(CHUNK, length) / max(seconds(call, device), 1e-7)))
    calls, queued, begun = 0, 0.0, time.perf_counter()
    while calls == 0 or time.perf_counter() - begun < length:
        now = time.perf_counter()
        for _ in range(chunk):
            call()
        queued += time.perf_counter() - now
        wait(device)
        calls += chunk
    return Pace((time.perf_counter() - begun) / calls, queued / calls)


def one_of_many(call: Call, device: torch.device, clock: Clock = time.perf_counter) -> float:
    """Return the seconds of a call as training makes it: on a GPU as one of many that are queued, on a CPU alone."""
    return pace(call, device, 0.2).done if device.type == "cuda" else seconds(call, device, clock)
