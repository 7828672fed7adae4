"""The README's training loop with `fire_` does what the README says."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_readmes_training_loop_projects_every_weight(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    (example,) = [block for block in blocks if "fire_(" in block]
    exec(compile(example, "README.md", "exec"), {})
    head, *rows, left = capsys.readouterr().out.splitlines()
    columns = head.replace("DfI ", "DfI_").replace(" x ", "_x_").split()
    assert [row.split()[0] for row in rows] == ["0.weight", "3.weight"]
    for row in rows:
        assert float(row.split()[columns.index("DfI_after") - len(columns)]) < 1e-6
    assert left == "left as they were, not 2-D (biases, gains of norms): 0.bias, 3.bias"
