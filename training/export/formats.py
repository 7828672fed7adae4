"""Turn a policy into the content of a file, and run that content, so that it is checked before it is written.

ONNX files are made by torch's exporter that uses `torch.export`; the one that uses TorchScript is deprecated.
TorchScript itself is deprecated too; it is made by tracing, for users who have libtorch and no ONNX runtime.
"""

import copy
import importlib
import importlib.util
import io
import json
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from fire_rl.place import install

from ..card import load_tensors
from ..policy import Policy
from ..policy_module import PolicyModule
from .agreement import Run, input_dtype

OPSET = 18
IR_VERSION = 10  # runtimes have read this version since 2024
ALIGNMENT, PADDING = 64, b"FB"  # bytes to which libtorch aligns tensors, and its padding field
INPUT = "observation"
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Format:
    """One kind of file: its ending, how it is made and run, and the packages that it needs."""

    ending: str
    make: Callable[[PolicyModule, torch.Tensor, Mapping[str, str]], bytes]
    run: Callable[[bytes, PolicyModule], Run]
    needs: Sequence[str] = ()  # packages

    def require(self, name: str) -> None:
        """Raise ValueError, in one line, if a package is missing."""
        for package in self.needs:
            if importlib.util.find_spec(package) is None:
                raise ValueError(f"--format {name} needs {package}, which is not installed: {install('export')}")


def made(policy: Policy, name: str, about: Mapping[str, str]) -> tuple[bytes, Run]:
    """Return the content of a file in a format, and a function that computes the file's outputs."""
    kind, module = FORMATS[name], standalone(policy)
    dtype = torch.uint8 if input_dtype(policy) is np.uint8 else torch.float32
    example = torch.zeros((2, *policy.spaces.observation.shape), dtype=dtype)
    try:
        with quietly(), torch.no_grad():
            if (given := len(module(example))) != len(module.outputs):
                raise ValueError(f"the policy gives {given} outputs and names {len(module.outputs)}")
            content = kind.make(module, example, about)
            return content, kind.run(content, module)
    except ImportError as error:
        missing = error.name or "a package"
        raise ValueError(f"--format {name} needs {missing}, which cannot be imported: {install('export')}") from error


def standalone(policy: Policy) -> PolicyModule:
    """Return a copy of the policy's module on the CPU, which shares nothing with the policy."""
    return copy.deepcopy(policy.module()).cpu().eval().requires_grad_(False)


@contextmanager
def quietly() -> Iterator[None]:
    """Suppress the messages that the exporters print."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def onnx_content(module: PolicyModule, example: torch.Tensor, about: Mapping[str, str]) -> bytes:
    """Return an ONNX model in one file: with the weights inside, and `about` as its metadata."""
    onnx = importlib.import_module("onnx")
    free = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(
        module, (example,), dynamo=True, verbose=False, opset_version=OPSET, input_names=[INPUT],
        output_names=list(module.outputs), dynamic_shapes=free,
    )  # fmt: skip
    assert program is not None  # it is None only if a file name is given
    model = program.model_proto
    model.ir_version = min(model.ir_version, IR_VERSION)
    for node in model.graph.node:
        del node.metadata_props[:]  # they hold paths of this machine
        node.doc_string = ""
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(about))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def onnx_run(content: bytes, module: PolicyModule) -> Run:
    """Return a function that runs an ONNX model by onnxruntime, on one thread."""
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda given: session.run(list(module.outputs), {INPUT: given})


def torchscript_content(module: PolicyModule, example: torch.Tensor, about: Mapping[str, str]) -> bytes:
    """Return a traced module as a TorchScript archive, with `about` in its extra file about.json."""
    content = io.BytesIO()
    traced = torch.jit.trace(module, (example,), check_trace=False)
    torch.jit.save(traced, content, _extra_files={"about.json": json.dumps(about)})
    return _without_places(content.getvalue())


def _without_places(content: bytes) -> bytes:
    """Return the archive without the files for debuggers, which hold paths of this machine.

    Each member is padded so that its data begin at a multiple of 64 bytes, as libtorch requires for tensors.
    """
    rewritten = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(rewritten, "w") as target:
        for member in source.infolist():
            if member.filename.endswith(".debug_pkl"):
                continue
            kept = zipfile.ZipInfo(member.filename)  # with the format's earliest date
            begin = rewritten.tell() + 30 + len(member.filename.encode())
            padding = -(begin + 4) % ALIGNMENT
            kept.extra = PADDING + padding.to_bytes(2, "little") + b"Z" * padding
            target.writestr(kept, source.read(member))
    return rewritten.getvalue()


def torchscript_run(content: bytes, module: PolicyModule) -> Run:
    """Return a function that runs a TorchScript archive."""
    return _by_torch(torch.jit.load(io.BytesIO(content)))


def safetensors_content(module: PolicyModule, example: torch.Tensor, about: Mapping[str, str]) -> bytes:
    """Return the module's tensors only, for the user's own code, with `about` in the file's header."""
    tensors = {name: value.contiguous() for name, value in module.state_dict().items()}
    return _ordered(safetensors.torch.save(tensors, dict(about)))


def _ordered(content: bytes) -> bytes:
    """Return the file with its metadata sorted by name, because the library's order differs from call to call."""
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[begin:]


def safetensors_run(content: bytes, module: PolicyModule) -> Run:
    """Return a function that runs a copy of the module whose tensors are all read from the content."""
    other = copy.deepcopy(module)
    load_tensors(other, content, Path("the new file"))
    return _by_torch(other)


def _by_torch(module: Callable[..., Any]) -> Run:
    def run(given: NDArray[Any]) -> list[NDArray[Any]]:
        with torch.no_grad():
            return [output.numpy() for output in module(torch.from_numpy(given))]

    return run


FORMATS = {
    "onnx": Format(".onnx", onnx_content, onnx_run, ONNX_PACKAGES),
    "torchscript": Format(".pt", torchscript_content, torchscript_run),
    "safetensors": Format(".safetensors", safetensors_content, safetensors_run),
}
