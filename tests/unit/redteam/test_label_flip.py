import json
from typing import Any

import numpy as np
import pytest

from backstay.errors import UsageError
from backstay.feedback import PoolSettings, RateSettings, gold_score, pair_tasks
from backstay.records import Judgment, Message, Pair, Prompt, Response, Task
from backstay.redteam import RedteamSettings, label_flip_matrix
from backstay.redteam.label_flip import majority_labels, pair_labels
from backstay.redteam.linear_reward import Floats
from backstay.screen import ScreenSettings

TEXTS = (
    "Use soap and cold water, then rinse and dry it well.",
    "Use soap and then dry",
    "You could try something else for that, maybe tomorrow.",
    "I am sorry, I can't help with that.",
)
POOL = PoolSettings(
    careful=14, noisy=4, hurried=2, length_loving=0, position_biased=0, flatterer_loving=0, flipping=0, colluding=0
)
RATE = RateSettings(judgments_per_task=5, pairs_per_prompt=4, pool=POOL)
SETTINGS = RedteamSettings(flip_shares=(0.0, 0.45), seeds=2, bootstrap=200, l2=1.0)


def _world(prompts: int = 30) -> tuple[list[Prompt], list[Response], list[Task], dict[str, Floats]]:
    """Prompts of one family whose answers' features hold the gold score and noise."""
    generator = np.random.default_rng(0)
    found = [
        Prompt.make(
            (Message(role="user", content=f"fixture question {number}"),),
            source="fixture",
            split="heldout" if number % 3 == 0 else "train",
            tags={"family": "plain", "topic": ["soap", "cold", "rinse"]},
        )
        for number in range(prompts)
    ]
    responses = [
        Response.make(prompt.id, text, policy="fixture", finished=index != 1)
        for prompt in found
        for index, text in enumerate(TEXTS)
    ]
    by_id = {prompt.id: prompt for prompt in found}
    features = {}
    for response in responses:
        gold = gold_score(by_id[response.prompt_id], response.text, response.finished).total
        features[response.id] = np.array([gold + 0.1 * generator.normal(), *generator.normal(size=3)])
    tasks = pair_tasks(found, responses, per_prompt=4, gold_share=0.15, wanted=5).tasks
    return found, responses, tasks, features


def _matrix(**changes: Any) -> dict[str, Any]:
    prompts, responses, tasks, features = _world()
    heldout = [prompt.id for prompt in prompts if prompt.split == "heldout"]
    known = {"settings": SETTINGS, "rate": RATE, **changes}
    settings = known.pop("settings")
    return label_flip_matrix(prompts, responses, tasks, features, heldout, settings, **known)


@pytest.fixture(scope="module")
def matrix() -> dict[str, Any]:
    return _matrix()


def _row(matrix: dict[str, Any], share: float, arm: str) -> dict[str, Any]:
    return next(row for row in matrix["rows"] if (row["share"], row["arm"]) == (share, arm))


def test_flipping_raters_hurt_the_majority_more_than_the_defence(matrix: dict[str, Any]) -> None:
    clean, poisoned = _row(matrix, 0.0, "undefended"), _row(matrix, 0.45, "undefended")
    defended = _row(matrix, 0.45, "defended")
    assert poisoned["label_accuracy"] < clean["label_accuracy"] - 0.15
    assert defended["label_accuracy"] > poisoned["label_accuracy"] + 0.1
    assert defended["accuracy"] > poisoned["accuracy"]
    assert clean["flipping_raters"] == 0
    assert poisoned["flipping_raters"] == 9


def test_rows_say_what_they_are(matrix: dict[str, Any]) -> None:
    assert matrix["simulated"] is True
    assert "SIMULATED" in matrix["note"]
    assert matrix["screened"] is False
    assert [(row["share"], row["arm"]) for row in matrix["rows"]] == [
        (0.0, "undefended"), (0.0, "defended"), (0.45, "undefended"), (0.45, "defended"),
    ]  # fmt: skip
    for row in matrix["rows"]:
        assert row["accuracy"] == pytest.approx(np.mean(row["seed_accuracies"]))
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert len(row["seed_accuracies"]) == 2
    assert json.loads(json.dumps(matrix, allow_nan=False)) == matrix


def test_difference_is_defended_minus_undefended(matrix: dict[str, Any]) -> None:
    for row in matrix["differences"]:
        arms = [_row(matrix, row["share"], arm)["accuracy"] for arm in ("defended", "undefended")]
        assert row["mean"] == pytest.approx(arms[0] - arms[1])


def test_counts_leave_held_out_prompts_out_of_training(matrix: dict[str, Any]) -> None:
    prompts, _, tasks, _ = _world()
    train = {prompt.id for prompt in prompts if prompt.split == "train"}
    chosen = [task for task in tasks if task.prompt_id in train]
    assert matrix["tasks"] == len(chosen)
    assert matrix["gold_items"] == sum(task.gold is not None for task in chosen)
    assert matrix["heldout_prompts"] == 10


def test_test_pairs_are_those_of_a_double_loop(matrix: dict[str, Any]) -> None:
    prompts, responses, _, _ = _world()
    by_id = {prompt.id: prompt for prompt in prompts if prompt.split == "heldout"}
    scored = [
        (r.prompt_id, gold_score(by_id[r.prompt_id], r.text, r.finished).total)
        for r in responses
        if r.prompt_id in by_id
    ]
    expected = sum(a[0] == b[0] and a[1] - b[1] >= 0.1 for a in scored for b in scored)
    assert matrix["heldout_pairs"] == expected


def test_same_settings_same_matrix(matrix: dict[str, Any]) -> None:
    assert _matrix() == matrix


def test_a_perfect_fit_is_always_right_and_a_blind_one_a_coin() -> None:
    prompts, responses, tasks, _ = _world()
    by_id = {prompt.id: prompt for prompt in prompts}
    golds = {r.id: np.array([gold_score(by_id[r.prompt_id], r.text, r.finished).total]) for r in responses}
    heldout = [prompt.id for prompt in prompts if prompt.split == "heldout"]

    def fixed(value: float) -> Any:
        return lambda *_: np.array([value])

    for value, expected in ((1.0, 1.0), (0.0, 0.5), (-1.0, 0.0)):
        result = label_flip_matrix(
            prompts,
            responses,
            tasks,
            golds,
            heldout,
            SETTINGS.model_copy(update={"seeds": 1}),
            rate=RATE,
            fit=fixed(value),
        )
        assert {row["accuracy"] for row in result["rows"]} == {expected}


def test_screening_decides_what_the_defended_arm_trains_on(matrix: dict[str, Any]) -> None:
    quiet = ScreenSettings(
        baseline="none", duplicates=False, degenerate=False, min_ms_per_word=0.0, trusted_voice=False
    )
    unscreened, same = _row(matrix, 0.45, "defended"), _row(_matrix(screening=quiet), 0.45, "defended")
    assert same == unscreened
    screened = _matrix(screening=ScreenSettings(baseline="none", near_duplicate=0.01))
    assert screened["screened"] is True
    assert _row(screened, 0.45, "defended")["training_pairs"] < unscreened["training_pairs"]
    assert _row(screened, 0.45, "undefended") == _row(matrix, 0.45, "undefended")


def test_nothing_left_to_train_on_is_a_coin() -> None:
    prompts, responses, tasks, features = _world()
    heldout = [prompt.id for prompt in prompts if prompt.split == "heldout"]
    silent = [task.model_copy(update={"wanted": 0, "gold": None}) for task in tasks]
    result = label_flip_matrix(prompts, responses, silent, features, heldout, SETTINGS, rate=RATE)
    row = _row(result, 0.0, "defended")
    assert (row["accuracy"], row["training_pairs"], row["label_accuracy"]) == (0.5, 0.0, None)


def test_only_accepted_and_released_pairs_are_labels() -> None:
    known = Pair(id="pair", prompt_id="p", a="a", b="b", p_a=0.7, weight=0.4, provenance={"gold": False})
    gold = known.model_copy(update={"status": "released", "provenance": {"gold": True}})
    others = [known.model_copy(update={"status": status}) for status in ("aggregated", "accepted", "quarantined")]
    pairs = [*others, gold]
    labels = pair_labels(pairs)
    assert labels.p_a.tolist() == [0.7, 0.7]
    assert labels.is_gold.tolist() == [False, True]


def test_majority_labels_are_hard_and_ignore_the_gold_answer() -> None:
    task = Task.make("p", ("a", "b"), gold=1)
    votes = [(0, 1), (0, 1), (1, 0)]
    judgments = [
        Judgment.model_validate(
            {
                "id": f"j{number}",
                "task_id": task.id,
                "rater_id": f"r{number}",
                "order_shown": (0, 1),
                "choice": {"ranking": [[winner], [loser]]},
                "created_at": "2026-01-05T00:00:00Z",
            }
        )
        for number, (winner, loser) in enumerate(votes)
    ]
    labels = majority_labels([task], judgments)
    assert labels.p_a.tolist() == [1.0]
    assert labels.weight.tolist() == [1.0]
    assert majority_labels([task], judgments[1:]).p_a.tolist() == [0.5]


def test_what_cannot_be_attacked_is_refused() -> None:
    prompts, responses, tasks, features = _world()
    with pytest.raises(UsageError, match="0 tasks to train on"):
        label_flip_matrix(prompts, responses, tasks, features, [p.id for p in prompts], SETTINGS, rate=RATE)
    with pytest.raises(UsageError, match="0 clean pairs"):
        label_flip_matrix(prompts, responses, tasks, features, [], SETTINGS, rate=RATE)
    with pytest.raises(UsageError, match="without features"):
        label_flip_matrix(prompts, responses, tasks, {}, [prompts[0].id], SETTINGS, rate=RATE)


def test_a_share_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="names a share twice"):
        RedteamSettings(flip_shares=(0.1, 0.1))
