"""What --help says of presets, environments, methods and measures; built only when it is asked for."""

import textwrap

from fire_rl.fire import MEASURES, describe_methods, describe_regularizers

from .config import Config
from .learners import Learner


def describe(learner: Learner, config: Config) -> str:
    """Everything above the flags. Lists are indented, since tyro joins lines that begin at the margin."""
    presets = "\n".join(f"{name}: {preset.meaning}" for name, preset in learner.presets.items())
    measures = "\n".join(f"{name}: {meaning}" for name, meaning in MEASURES.items())
    regularizers = describe_regularizers(config.published)
    lists = {
        "Values of --preset; the first is the default": presets,
        **config.choices(),
        "Methods of --reinit, as METHOD or METHOD:field=value,...": describe_methods(config.published),
        "Regularizers of --regularize, one or several, as NAME or NAME:field=value,...": regularizers,
        "Measures, every --measure-every updates, of each network; for --reinit-when": measures,
    }
    parts = (f"{title}\n{textwrap.indent(lines, '  ')}" for title, lines in lists.items())
    return "\n\n".join((learner.description, *parts))
