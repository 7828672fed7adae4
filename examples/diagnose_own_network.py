"""Whether any network still learns: python -m examples.diagnose_own_network"""

import torch

from fire_rl import Probe, diagnose

torch.manual_seed(0)
hidden = torch.nn.Linear(4, 64)
network = torch.nn.Sequential(hidden, torch.nn.ReLU(), torch.nn.Linear(64, 2))
batches = torch.randn(16, 32, 4)  # inputs of the kind that it is trained on, in batches
hidden.bias.data[:60] = -100.0  # most hidden units never become active again
diagnosis = diagnose(network, list(batches), rate=1e-3, probe=Probe(updates=50, seeds=3))
print(diagnosis)
assert diagnosis.lost == "fitting"
