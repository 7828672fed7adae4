"""The findings of a comparison in sentences that claim no more than the data show."""

from fire_rl.training.metric import Metric

from ..analysis.families import SETTLED, Family
from ..analysis.results import Compared, Contrast
from ..analysis.statistics import SETTLING_RUNS, Interval
from .wording import decimals, interval, plural, printed, signed


def finding(contrast: Contrast, metric: Metric, places: int, many: int = 1) -> str:
    """Return a sentence on what a difference shows and does not show; `many` differences are tested together."""
    found, together = contrast.final.iqm, contrast.final.together
    start = f"{contrast.method} minus {contrast.against}, final {metric.words}: {_difference(contrast, metric, places)}"
    if not found.bounded:
        return f"{start}: there is no interval, so this tells nothing about other seeds."
    trunks = f"; {same_way(contrast)}" if contrast.final.trunks else ""
    if found.smallest < SETTLING_RUNS:
        return f"{start}: too few to settle which method is better{trunks}."
    if _holds_0(found):
        return f"{start}: the interval contains 0, so this does not settle which method is better{trunks}."
    alone = f" ({p_value(together.p)} without the correction)" if many > 1 else ""
    test = f"the {together.test} of the mean gives {p_value(together.corrected)}"
    test += f" after the correction for {many} differences{alone}" if many > 1 else ""
    if together.corrected > SETTLED:
        itself = "the single interval excludes 0, but" if many > 1 else "the interval excludes 0, but"
        return f"{start}. Not settled: {itself} {test}{trunks}."
    if not contrast.final.mean.value * found.low > 0:  # the means, which are tested, and the IQMs differ in sign
        averages = signed(printed(contrast.final.mean, metric).value, places)
        return (
            f"{start}: the IQM and the mean disagree (the difference of the means is {averages}), so neither method is "
            f"called better, although {test}{trunks}."
        )
    names = contrast.method, contrast.against
    better, worse = names if (found.low > 0) == (metric.sign > 0) else names[::-1]
    return f"{start}, in favour of {better} over {worse}: the interval excludes 0, and {test}{trunks}."


def p_value(p: float) -> str:
    """Return a p value as text."""
    return f"p = {p:.3g}" if p >= 1e-4 else "p < 0.0001"


def same_way(contrast: Contrast) -> str:
    """Return in words in how many pairs the first method is ahead."""
    counts = contrast.final.trunks
    assert counts is not None
    n, pairs = counts.share.n, plural(counts.share.n, "pair")
    if n > 1 and n in (counts.better, n - counts.better - counts.tied):
        return f"all {pairs} have {contrast.method if counts.better else contrast.against} ahead"
    ties = f", {counts.tied} tied" if counts.tied else ""
    return f"{counts.better} of {pairs} {'has' if counts.better == 1 else 'have'} {contrast.method} ahead{ties}"


def headline(compared: Compared) -> list[str]:
    """Return the main finding: on the reference, or the last method if there is none, against the baseline."""
    return [finding(each, compared.metric, _places(compared), len(compared.contrasts)) for each in _first(compared)]


def findings(compared: Compared) -> list[str]:
    """Return the main finding and all settled differences, then the others grouped by why they are not settled."""
    first, places, metric, many = _first(compared), _places(compared), compared.metric, len(compared.contrasts)
    rest = [contrast for contrast in compared.contrasts if contrast not in first]
    unsettled: dict[str, list[Contrast]] = {}
    for contrast in rest:
        unsettled.setdefault(_unsettled(contrast), []).append(contrast)
    found = [finding(contrast, metric, places, many) for contrast in (*first, *unsettled.pop("", ()))]
    for reason, others in unsettled.items():
        if len(others) == 1:
            found.append(finding(others[0], metric, places, many))
        else:
            listed = "; ".join(_listed(each, metric, places, reason == BY_ITSELF) for each in others)
            found.append(f"{reason}, final {metric.words}: {listed}.")
    return [*found, *looked_at_together(compared.family), *filter(None, [made_by(compared)])]


def looked_at_together(family: Family | None) -> list[str]:
    """Return a sentence on what chance alone would show, and on the correction for it."""
    if family is None:
        return []
    what = plural(family.size, "difference") + (" are tested together" if family.size > 1 else " is tested")
    one = "at least one of their single intervals" if family.size > 1 else "its interval"
    chance = f"{family.chance:.0%}" if family.chance >= 0.01 else "less than 1%"
    text = (
        f"{what}. If no method differed from another, {one} would exclude 0 in {chance} of such comparisons "
        f"(simulated {family.experiments:,} times, with normally distributed scores). "
    )
    test = "a test of the mean" + (", corrected for all of them (Holm)," if family.size > 1 else "")
    text += f"Therefore a method is called better only if the p value of {test} is at most {SETTLED}"
    what = "pairs" if family.paired else "runs of each method"
    where = " in each environment" if family.environments > 1 else ""
    if (smallest := family.size * family.smallest_p) > SETTLED:
        p = f"p value can be below {family.smallest_p:.3g}"
        if family.smallest_p <= SETTLED:
            p = f"corrected p value can be below {smallest:.3g}"
        text += f": with so few {what}, no {p}, so that no difference can be settled; "
        text += f"that takes at least {family.needed} {what}{where}"
    return [f"{text}."]


def made_by(compared: Compared) -> str:
    """Return a sentence on how the intervals in square brackets were computed."""
    made = dict.fromkeys(each.final.iqm.method for each in compared.contrasts if each.final.iqm.bounded)
    return f"Differences are those of IQMs; intervals in square brackets: {'; '.join(made)}." if made else ""


BY_ITSELF = "Not settled after the correction for several differences, although each single interval excludes 0"


def _unsettled(contrast: Contrast) -> str:
    """Return why a difference is not settled; empty if it may be."""
    difference = contrast.final.iqm
    if not difference.bounded:
        return "Without an interval"
    if difference.smallest < SETTLING_RUNS:
        return "Too few runs or pairs to settle which method is better"
    if _holds_0(difference):
        return "Not settled, as their intervals contain 0"
    return BY_ITSELF if contrast.final.together.corrected > SETTLED else ""


def _holds_0(difference: Interval) -> bool:
    return difference.low <= 0 <= difference.high


def _difference(contrast: Contrast, metric: Metric, places: int) -> str:
    of = contrast.final.iqm.runs_in_words("pair" if contrast.paired else "run")
    return f"{interval(printed(contrast.final.iqm, metric), places, difference=True)}, {of}"


def _listed(contrast: Contrast, metric: Metric, places: int, with_p: bool = False) -> str:
    trunks = contrast.final.trunks if contrast.final.iqm.smallest < SETTLING_RUNS else None
    ahead = f", {trunks.better} of them ahead" if trunks else ""
    p = f", {p_value(contrast.final.together.corrected)}" if with_p else ""
    return f"{contrast.method} minus {contrast.against}, {_difference(contrast, metric, places)}{ahead}{p}"


def _first(compared: Compared) -> list[Contrast]:
    """Return the main contrast in a list: the last one against the baseline, which is that of the reference."""
    return [each for each in compared.contrasts if each.against == compared.contrasts[0].against][-1:]


def _places(compared: Compared) -> int:
    return decimals(printed(contrast.final.iqm, compared.metric) for contrast in compared.contrasts)
