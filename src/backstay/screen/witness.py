"""The text of responses as a witness for aggregation: a linear reward judges a topic by what it learnt on others."""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import sparse
from scipy.special import expit

from backstay.aggregate.columns import Index
from backstay.aggregate.content import Witness
from backstay.aggregate.votes import Item
from backstay.records import Prompt, Response
from backstay.screen.margins import Floats, group_folds, out_of_fold
from backstay.screen.text_features import frequent_columns, pair_difference

FOLDS = 16
RIDGE = 3.0
LEAST_PAIRS = 5
SURE = 3.9
"""Bound of the log-odds that the reward learns from."""


def text_witness(prompts: Iterable[Prompt], responses: Iterable[Response]) -> Witness:
    """A witness that reads the texts of `prompts` and `responses`; items whose texts are missing get a margin of 0."""
    requests = {prompt.id: "\n".join(message.content for message in prompt.messages) for prompt in prompts}
    texts = {response.id: response.text for response in responses}

    def margins(items: Sequence[Item], log_odds: Floats, topic: Index) -> Floats:
        known = [k for k, i in enumerate(items) if i.prompt_id in requests and i.a in texts and i.b in texts]
        margin = np.zeros(len(items))
        fold, folds = group_folds([str(topic[k]) for k in known], FOLDS, 0)
        if folds:
            asked = [items[k] for k in known]
            difference = pair_difference(
                [requests[i.prompt_id] for i in asked], [texts[i.a] for i in asked], [texts[i.b] for i in asked]
            )
            narrow = sparse.csr_array(difference[:, frequent_columns(difference, LEAST_PAIRS)])
            p_a = np.asarray(expit(np.clip(log_odds[known], -SURE, SURE)), dtype=np.float64)
            margin[known] = out_of_fold(narrow, p_a, np.ones(len(known)), fold, ridge=RIDGE)
        return margin

    return margins
