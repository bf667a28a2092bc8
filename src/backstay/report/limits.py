"""What this report does not show, said before anyone has to ask."""

from backstay.report.data import ReportData

PEOPLE = (
    "People. The raters are simulated: their errors, biases and lies follow rules that were written down in advance, "
    "and the defences may fit such rules better than they fit people."
)
REAL_QUALITY = (
    "Real quality. The gold rule is a program that looks at the text of an answer. A higher gold score means that "
    "the policy follows that rule better; no person read the answers."
)
ANY_QUALITY = "Quality of any kind. No gold rule and no person judged the answers of the trained policy."
NO_EVALUATION = "The policy itself. The evaluate stage was not run."
OTHER_SEEDS = (
    "Other seeds. One training run was evaluated; the intervals cover the choice of held-out prompts and the sampling "
    "of answers, not another run of the training."
)
OTHER_PROMPTS = (
    "Other prompts. The held-out prompts come from the same source as the training prompts; other languages and "
    "attempts to talk the policy out of its refusals were not tried."
)
NO_ATTACKS = "Attacks. The redteam stage was not run."
FULL_REWARD = (
    "The full reward model under attack. The label-flip table refits a linear model on frozen features, which is "
    "faster and weaker than the reward ensemble, and no policy was trained on the poisoned labels."
)
OTHER_ATTACKS = (
    "Other attacks on the feedback. Not tried: raters who lie only about chosen subjects, planted trigger words, one "
    "rater under many names, answers written to mislead the reward model."
)
DEPLOYMENT = (
    "Deployment. Nothing here says how the policy behaves behind an application, with tools, or when people attack it."
)


def not_tested(data: ReportData) -> list[str]:
    """The limits that follow from what was run, then those that the caller adds; each begins with its subject."""
    return [*_of_judges(data), *_of_evaluation(data), *_of_attacks(data), DEPLOYMENT, *data.meta.not_tested]


def _of_judges(data: ReportData) -> list[str]:
    found = [PEOPLE] if any(rater.get("simulated") for rater in data.raters) else []
    if data.evaluation is None:
        return found
    if not data.evaluation["gold_rule"]:
        return [*found, ANY_QUALITY]
    return [*found, REAL_QUALITY] if data.meta.simulated_gold else found


def _of_evaluation(data: ReportData) -> list[str]:
    return [NO_EVALUATION] if data.evaluation is None else [OTHER_SEEDS, OTHER_PROMPTS]


def _of_attacks(data: ReportData) -> list[str]:
    return [FULL_REWARD, OTHER_ATTACKS] if data.redteam else [NO_ATTACKS]
