"""The cost (harm) model: an ensemble whose zero lies between safe and harmful, and higher means more harm."""

from collections.abc import Iterable, Mapping, Sequence

from backstay.learn.branch_states import BranchStates
from backstay.learn.lessons import Comparison, Lesson, SignLabel
from backstay.learn.rater_evidence import HarmLabel
from backstay.learn.reward import train_ensemble
from backstay.learn.reward_settings import RewardSettings
from backstay.learn.scalar_models import RewardMember
from backstay.storage import RunFolder


def cost_lessons(labels: Mapping[int, HarmLabel], safer: Iterable[Comparison]) -> list[Lesson]:
    """Lessons of the cost model from the harm labels of rows and from pairs in which the safer response is preferred.

    A pair is turned round: what is preferred costs less. With both responses of every pair labelled, and labels that
    are certain, the loss is that of Safe RLHF (Dai et al. 2023, equation 6): a ranking term and two sign terms a pair.
    """
    turned = [Comparison(pair.a, pair.b, 1 - pair.p_a, pair.weight) for pair in safer]
    return [*turned, *(SignLabel(row, label.p_harmful, label.weight) for row, label in sorted(labels.items()))]


def train_cost_ensemble(
    rows: BranchStates, lessons: Sequence[Lesson], settings: RewardSettings, folder: RunFolder
) -> list[RewardMember]:
    """Train `settings.cost_members` members on bootstraps of the lessons, resuming exactly.

    A member's score is its log-odds of harm; whoever brings it to another scale must leave the bias at 0, so that zero
    keeps its meaning. Margin and label smoothing are the reward's and not used here.
    """
    own = settings.model_copy(
        update={"members": settings.cost_members, "seed": settings.seed + 1, "margin": 0.0, "label_smoothing": 0.0}
    )
    return train_ensemble(rows, lessons, own, folder)
