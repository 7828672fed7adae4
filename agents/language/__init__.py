"""Networks that predict the next token, their training, and their methods as published."""

from .gpt import GPT, make_gpt
from .learner import adamw_grouped, make_learner
from .published import published
from .rate import share_of_rate
from .settings import LanguageModelSettings
from .sizes import SIZES, GPTName, GPTSizes, gpt_size, gpt_sizes

__all__ = [
    "GPT",
    "SIZES",
    "GPTName",
    "GPTSizes",
    "LanguageModelSettings",
    "adamw_grouped",
    "gpt_size",
    "gpt_sizes",
    "make_gpt",
    "make_learner",
    "published",
    "share_of_rate",
]
