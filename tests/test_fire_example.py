"""The examples that people copy run as they stand."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import fire

ROOT = Path(__file__).parents[1]


def examples(document: str, word: str) -> list[str]:
    """Python blocks of a document that hold the word."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), flags=re.DOTALL)
    return [block for block in blocks if word in block]


@pytest.mark.parametrize("document", ["README.md", "docs/method.md"])
def test_fire_in_a_training_loop_of_ones_own(document, capsys):
    blocks = examples(document, "fire.fire_(")
    assert blocks, f"{document} shows how to use fire_ in a training loop"
    for block in blocks:
        torch.manual_seed(0)
        namespace: dict[str, Any] = {"batches": [(torch.randn(4, 8), torch.randn(4, 1)) for _ in range(1000)]}
        exec(compile(block, document, "exec"), namespace)
        assert max(fire.deviation_from_isometry(namespace["model"]).values()) < 1e-6
        assert not namespace["optimizer"].state
        assert "0.weight" in capsys.readouterr().out


def test_a_module_of_ones_own_declares_its_matrices():
    (block,) = examples("docs/method.md", "plastic_matrices")
    namespace: dict[str, Any] = {"torch": torch, "fire": fire}
    exec(compile(block, "docs/method.md", "exec"), namespace)
    report = fire.fire_(namespace["Ensemble"](), solver="exact")
    assert report.matrices[0].deviation_after < 1e-6
