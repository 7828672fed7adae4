"""The products of networks with convolutions, the ways to compute them, and the floor of DQN's update."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fire_rl.agents import DQN

from .floors import Floor, Work, product_ways, way_of
from .timing import Call

ORDERS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True)
class Product:
    """A matrix product of one update; for a convolution, also the shapes of its images and weights."""

    name: str
    rows: int
    inner: int
    columns: int
    images: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()
    stride: int = 1
    padding: int = 0

    @property
    def flops(self) -> float:
        """The number of floating-point operations."""
        return 2.0 * self.rows * self.inner * self.columns


class RecordProducts(TorchDispatchMode):
    """Counts the matrix products that run within this context, including those of convolutions.

    It also records how each is computed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.products: Counter[Product] = Counter()
        self.used: dict[Product, str] = {}  # the name of the way, of `product_ways` and `convolution_ways`

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        result = func(*args, **(kwargs or {}))
        if name in ("mm", "addmm"):
            left, right = [argument for argument in args if isinstance(argument, Tensor)][-2:]
            self._count(Product("linear", left.shape[0], left.shape[1], right.shape[1]), way_of(left, right))
        elif name == "convolution":
            images, weights, _, stride, padding = args[:5]
            self._count_convolution(("forward",), result.shape, images, weights.shape, stride[0], padding[0])
        elif name == "convolution_backward":
            gradient, images, weights, _, stride, padding = args[:6]
            names = [name for name, wanted in zip(("inputs", "weights"), args[-1], strict=False) if wanted]
            self._count_convolution(names, gradient.shape, images, weights.shape, stride[0], padding[0])
        return result

    def _count_convolution(
        self, names: Iterable[str], outputs: Any, images: Tensor, weights: Any, stride: int, padding: int
    ) -> None:
        rows, inner, columns = outputs.numel() // outputs[1], weights[1:].numel(), weights[0]
        shapes = {
            "forward": (rows, inner, columns),
            "inputs": (rows, columns, inner),
            "weights": (columns, rows, inner),
        }
        for name in names:
            product = Product(name, *shapes[name], tuple(images.shape), tuple(weights), stride, padding)
            self._count(product, f"convolution {'contiguous' if images.is_contiguous() else 'channels_last'}")

    def _count(self, product: Product, way: str) -> None:
        self.products[product] += 1
        self.used[product] = way


def convolution_ways(product: Product, device: torch.device, dtype: torch.dtype = torch.float32) -> dict[str, Call]:
    """Return ways to compute a product as torch's convolution, or a part of its gradient, in both memory formats."""
    if not product.images:
        return {}
    ways: dict[str, Call] = {}
    padding, stride = [product.padding] * 2, [product.stride] * 2
    for name, order in ORDERS.items():
        images = torch.randn(product.images, device=device).to(dtype).contiguous(memory_format=order)
        weights = torch.randn(product.weights, device=device).to(dtype).contiguous(memory_format=order)
        call: Call = partial(torch.conv2d, images, weights, None, stride, padding)
        if product.name != "forward":
            gradient = torch.randn_like(call())
            wanted = [product.name == "inputs", product.name == "weights", False]
            rest = (None, stride, padding, [1, 1], False, [0, 0], 1, wanted)
            call = partial(torch.ops.aten.convolution_backward, gradient, images, weights, *rest)
        ways[f"convolution {name}"] = call
    return ways


def works(record: RecordProducts, device: torch.device, dtype: torch.dtype = torch.float32) -> list[Work]:
    """Return the recorded products with their ways: as matrix products, and if they are convolutions, as these too."""
    return [
        Work(
            f"{product.name:8s} {product.rows} x {product.inner} x {product.columns}",
            count,
            product.flops,
            product_ways((1, product.rows, product.inner, product.columns), device, dtype)
            | convolution_ways(product, device, dtype),
            record.used[product],
        )
        for product, count in record.products.items()
    ]


def dqn_floor(agent: DQN, record: RecordProducts, read: float, dtype: torch.dtype = torch.float32) -> Floor:
    """Return the floor of an update of DQN with the recorded products, which reads this many bytes of images."""
    parameters = sum(parameter.numel() for parameter in agent.network.parameters())
    return Floor(works(record, agent.device, dtype), 4 * 7 * parameters + read, agent.device)  # Adam: reads 4, writes 3
