"""What a comparison found, in sentences that promise no more than it shows."""

from fire_rl.training.metric import Metric

from ..analysis.families import SETTLED, Family
from ..analysis.results import Compared, Contrast
from ..analysis.statistics import SETTLING_RUNS, Interval
from .wording import decimals, interval, plural, printed, signed


def finding(contrast: Contrast, metric: Metric, places: int, many: int = 1) -> str:
    """What one difference of so many says, and above all what it does not."""
    found, together = contrast.final.iqm, contrast.final.together
    start = f"{contrast.method} minus {contrast.against}, final {metric.words}: {_difference(contrast, metric, places)}"
    if not found.bounded:
        return f"{start}: no interval can be made, so this says nothing of other seeds."
    trunks = f"; {same_way(contrast)}" if contrast.final.trunks else ""
    if found.smallest < SETTLING_RUNS:
        return f"{start}: so few settle nothing{trunks}."
    if _holds_0(found):
        return f"{start}: the interval holds 0, so this does not settle which is better{trunks}."
    alone = f", {p_value(together.p)} alone" if many > 1 else ""
    test = f"the {together.test} of the mean gives {p_value(together.corrected)}"
    test += f" with all {many} differences taken together{alone}" if many > 1 else ""
    if together.corrected > SETTLED:
        itself = "by itself the interval leaves out 0, but" if many > 1 else "the interval leaves out 0, but"
        return f"{start}: not settled: {itself} {test}{trunks}."
    if not _same_direction(contrast):
        averages = signed(printed(contrast.final.mean, metric).value, places)
        return (
            f"{start}: IQM and mean disagree, as the difference of the means is {averages}: nothing is called better, "
            f"though {test}{trunks}."
        )
    names = contrast.method, contrast.against
    better, worse = names if (found.low > 0) == (metric.sign > 0) else names[::-1]
    return f"{start}: in favour of {better} over {worse}: the interval leaves out 0, and {test}{trunks}."


def p_value(p: float) -> str:
    return f"p = {p:.3g}" if p >= 1e-4 else "p < 0.0001"


def same_way(contrast: Contrast) -> str:
    """How many of the pairs point the same way."""
    counts = contrast.final.trunks
    assert counts is not None
    n, pairs = counts.share.n, plural(counts.share.n, "pair")
    if n > 1 and n in (counts.better, n - counts.better - counts.tied):
        return f"all {pairs} have {contrast.method if counts.better else contrast.against} ahead"
    ties = f", {counts.tied} tied" if counts.tied else ""
    return f"{counts.better} of {pairs} {'has' if counts.better == 1 else 'have'} {contrast.method} ahead{ties}"


def headline(compared: Compared) -> list[str]:
    """The finding that the comparison was made for: the reference, else the last method, against the baseline."""
    return [finding(each, compared.metric, _places(compared), len(compared.contrasts)) for each in _first(compared)]


def findings(compared: Compared) -> list[str]:
    """The headline and whatever else is settled, a sentence each; in one sentence what settles nothing, and why."""
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
    """What chance alone would show, and what is done about it."""
    if family is None:
        return []
    what = plural(family.size, "difference") + (" are looked at together" if family.size > 1 else " is looked at")
    one = "at least one of their single intervals" if family.size > 1 else "its interval"
    chance = f"{family.chance:.0%}" if family.chance >= 0.01 else "less than 1%"
    text = (
        f"{what}. If no method differed from another, {one} would leave out 0 in {chance} of such comparisons "
        f"(simulated {family.experiments:,} times, with normal scores). "
    )
    corrected = ", corrected for all of them (Holm)," if family.size > 1 else ""
    text += f"So a method is called better only where the p value of a test of the mean{corrected} is {SETTLED} or less"
    what = "pairs" if family.paired else "runs of each method"
    where = " in each environment" if family.environments > 1 else ""
    if family.smallest_p > SETTLED:
        text += f": with so few {what} none can be below {family.smallest_p:.3g}, so that nothing can be settled"
        text += f"; from {family.needed} {what}{where} on it can."
    elif family.size * family.smallest_p > SETTLED:
        text += f": with so few {what} the first of {family.size} cannot be below {family.size * family.smallest_p:.3g}"
        text += f", so that nothing can be settled; from {family.needed} {what}{where} on it can."
    return [text.removesuffix(".") + "."]


def made_by(compared: Compared) -> str:
    """What stands in the brackets of the findings."""
    made = dict.fromkeys(each.final.iqm.method for each in compared.contrasts if each.final.iqm.bounded)
    return f"Differences are of IQMs; in brackets: {'; '.join(made)}." if made else ""


BY_ITSELF = "Not settled with all taken together, though by itself each interval leaves out 0"


def _unsettled(contrast: Contrast) -> str:
    """Why a difference settles nothing; empty where it may."""
    difference = contrast.final.iqm
    if not difference.bounded:
        return "Without an interval"
    if difference.smallest < SETTLING_RUNS:
        return "Too few to settle anything"
    if _holds_0(difference):
        return "Not settled, as their intervals hold 0"
    return BY_ITSELF if contrast.final.together.corrected > SETTLED else ""


def _same_direction(contrast: Contrast) -> bool:
    """Whether the mean, which was tested, points to where the IQM does."""
    return contrast.final.mean.value * contrast.final.iqm.low > 0


def _holds_0(difference: Interval) -> bool:
    return difference.low <= 0 <= difference.high


def _difference(contrast: Contrast, metric: Metric, places: int) -> str:
    of = contrast.final.iqm.runs_said("pair" if contrast.paired else "run")
    return f"{interval(printed(contrast.final.iqm, metric), places, difference=True)}, {of}"


def _listed(contrast: Contrast, metric: Metric, places: int, with_p: bool = False) -> str:
    """One of several that settle nothing."""
    trunks = contrast.final.trunks if contrast.final.iqm.smallest < SETTLING_RUNS else None
    ahead = f", {trunks.better} of them ahead" if trunks else ""
    p = f", {p_value(contrast.final.together.corrected)}" if with_p else ""
    return f"{contrast.method} minus {contrast.against}, {_difference(contrast, metric, places)}{ahead}{p}"


def _first(compared: Compared) -> list[Contrast]:
    """Contrasts begin with each method against the baseline, the reference as the last of them."""
    return [each for each in compared.contrasts if each.against == compared.contrasts[0].against][-1:]


def _places(compared: Compared) -> int:
    return decimals(printed(contrast.final.iqm, compared.metric) for contrast in compared.contrasts)
