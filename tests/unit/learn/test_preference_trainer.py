import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_loop import fresh_adapter, load_tiny, preference_trainer, prompt_tokens, shaken, tiny_shape
from torch import Tensor

from backstay.errors import StageFailed, UsageError
from backstay.learn.lessons import Comparison
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import response_logprobs
from backstay.learn.preference import PreferenceTrainer
from backstay.learn.preference.losses import kto_reference_point
from backstay.learn.preference.objective import figures
from backstay.learn.preference.trainer import check_pairs, strangers_of
from backstay.storage import RunFolder

LOSSES = ("dpo", "ipo", "cdpo", "robust", "kto")
AT_REFERENCE = {"dpo": 0.693147, "cdpo": 0.693147, "robust": 0.693147, "ipo": 0.25 / 0.1**2, "kto": 0.5}


def of(loss: str) -> dict[str, Any]:
    return {"loss": loss, "label_smoothing": 0.1 if loss in ("cdpo", "robust") else 0.0}


def trainer64(model64: LanguageModel, folder: Path, loss: str = "dpo", **changes: Any) -> PreferenceTrainer:
    """A trainer in float64 whose policy has moved away from the reference."""
    made = preference_trainer(model64, RunFolder(folder), **of(loss), **changes)
    made.policy.to(torch.float64)
    shaken(made.policy, seed=4)
    return made


def gradient(trainer: PreferenceTrainer, pairs: list[Comparison]) -> tuple[float, Tensor]:
    trainer.optimizer.zero_grad()
    loss, _, _ = trainer.accumulate(pairs)
    return loss, torch.cat([p.grad.flatten() for p in trainer.policy.parameters() if p.grad is not None])


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(trainer: PreferenceTrainer) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in trainer.policy.state_dict().values()])


@pytest.mark.parametrize("loss", LOSSES)
def test_the_first_step_starts_from_the_reference(model: LanguageModel, tmp_path: Path, loss: str) -> None:
    made = preference_trainer(model, RunFolder(tmp_path), **of(loss))
    made.run()
    logged = rows(tmp_path)
    assert logged[0]["loss"] == pytest.approx(AT_REFERENCE[loss], rel=1e-5)
    for name in ("margin", "chosen_logprob_change", "rejected_logprob_change"):
        assert abs(logged[0][name]) < 1e-4
    found, pairs, _ = made.accumulate(made.pairs)
    assert found < AT_REFERENCE[loss]
    accuracy = figures(pairs, 0.1)["accuracy"]
    assert accuracy is not None and accuracy > 0.6
    assert [row["step"] for row in logged] == list(range(1, 9))
    assert [row["step"] for row in logged if "kl_nats" in row] == [3, 6, 8]


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_do_not_depend_on_the_split(model64: LanguageModel, tmp_path: Path, loss: str) -> None:
    found = []
    for size in (1, 2, 5, 15):
        made = trainer64(model64, tmp_path / str(size), loss, micro_batch=size)
        found.append(gradient(made, list(made.pairs)))
    for value, slope in found[1:]:
        assert value == pytest.approx(found[0][0], abs=1e-12)
        assert float((slope - found[0][1]).abs().max()) < 1e-10
    assert float(found[0][1].abs().max()) > 1e-4


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_do_not_depend_on_order_or_padding(model64: LanguageModel, tmp_path: Path, loss: str) -> None:
    made = trainer64(model64, tmp_path, loss, micro_batch=15)
    value, slope = gradient(made, list(made.pairs))
    other, turned = gradient(made, list(reversed(made.pairs)))
    assert other == pytest.approx(value, abs=1e-12)
    assert float((turned - slope).abs().max()) < 1e-10


@pytest.mark.parametrize("loss", LOSSES)
def test_a_weight_of_three_is_three_copies(model64: LanguageModel, tmp_path: Path, loss: str) -> None:
    made = trainer64(model64, tmp_path, loss)
    one, two = made.pairs[0], made.pairs[1]
    weighted = [Comparison(one.a, one.b, 0.9, 3.0), Comparison(two.a, two.b, 0.2, 1.0)]
    copied = [Comparison(one.a, one.b, 0.9, 1.0)] * 3 + [Comparison(two.a, two.b, 0.2, 1.0)]
    value, slope = gradient(made, weighted)
    other, same = gradient(made, copied)
    assert other == pytest.approx(value, abs=1e-12)
    assert float((same - slope).abs().max()) < 1e-10


@pytest.mark.parametrize("branch_layer", [0, 1])
def test_log_ratios_are_those_of_the_two_stacks(tmp_path: Path, branch_layer: int) -> None:
    model64 = load_tiny(torch.float64, branch_layer=branch_layer)
    made = trainer64(model64, tmp_path, branch_layer=branch_layer)
    with torch.no_grad():
        batch = made._ratios(made.pairs)
    decoder = made.model.decoder
    for index, pair in enumerate(made.pairs):
        for row, found in ((pair.a, batch.log_ratio_a_P[index]), (pair.b, batch.log_ratio_b_P[index])):
            prompt, response = made.rows.prompts[made.rows.prompt_of[row]], made.rows.responses[row]
            tokens = torch.tensor([[*prompt, *response]])
            mask = torch.ones_like(tokens, dtype=torch.bool)
            summed = []
            for adapters in ((made.policy,), ()):
                hidden = decoder.top(decoder.trunk(tokens, mask, adapters=adapters), mask, adapters)
                logprob = decoder.logits(hidden, adapters).log_softmax(-1)[0].detach()
                summed.append(sum(logprob[len(prompt) - 1 + t, token] for t, token in enumerate(response)))
            assert float(found) == pytest.approx(float(summed[0] - summed[1]), abs=1e-10)


def test_the_reference_is_the_sft_policy(model64: LanguageModel, tmp_path: Path) -> None:
    made = trainer64(model64, tmp_path)
    sft = shaken(fresh_adapter(model64, tiny_shape()), seed=3).requires_grad_(False)
    dialogues, branch = made.rows.batch(range(12), (sft,))
    direct = response_logprobs(model64.decoder, dialogues, branch, (sft,)).sum(1)
    assert float((made.reference_logprobs() - direct).abs().max()) < 1e-9


def test_the_reference_point_reads_prompts_with_responses_to_others(model64: LanguageModel, tmp_path: Path) -> None:
    made = trainer64(model64, tmp_path, "kto")
    prompt_of = list(made.rows.prompt_of)[:12]
    strangers = strangers_of(prompt_of, made.settings.seed)
    assert all(prompt_of[stranger] != prompt_of[row] for row, stranger in enumerate(strangers))
    for row, stranger in enumerate(strangers):
        assert made.rows.responses[12 + row] == made.rows.responses[stranger]
        assert made.rows.prompt_of[12 + row] == prompt_of[row]
    pairs = list(made.pairs)
    ratio, weight = [], []
    for pair in pairs:
        for row in (pair.a, pair.b):
            logprob = made._logprobs([12 + row], (made.policy,)) - made._logprobs([12 + row], ())
            ratio.append(float(logprob.detach()))
            weight.append(abs(2 * pair.p_a - 1) * pair.weight)
    expected = kto_reference_point(torch.tensor(ratio, dtype=torch.float64), torch.tensor(weight, dtype=torch.float64))
    assert made.accumulate(pairs)[2]["reference_point"] == pytest.approx(float(expected), abs=1e-10)


def test_one_prompt_alone_has_no_stranger() -> None:
    with pytest.raises(UsageError, match="only one prompt"):
        strangers_of([0, 0, 0], 1)


def test_the_budget_rolls_back_to_the_last_policy_measured_within_it(model: LanguageModel, tmp_path: Path) -> None:
    free = preference_trainer(model, RunFolder(tmp_path / "free"), kl_every=1, learning_rate=0.02)
    free.run()
    kl = [row["kl_nats"] for row in rows(tmp_path / "free")]
    over = next(i for i in range(1, 8) if kl[i] > max(kl[:i]))
    budget = (max(kl[:over]) + kl[over]) / 2
    bound = preference_trainer(model, RunFolder(tmp_path / "bound"), kl_every=1, learning_rate=0.02, kl_budget=budget)
    result = bound.run()
    assert (result.reason, result.steps, result.kl_nats) == ("kl_budget", over + 1, kl[over - 1])
    logged = rows(tmp_path / "bound")
    assert logged[over]["rolled_back"] == 1.0 and logged[:over] == rows(tmp_path / "free")[:over]
    assert torch.equal(weights(bound), torch.cat([x.flatten() for x in bound.good.state_dict().values()]))
    assert not torch.equal(weights(bound), weights(free))


def test_an_absurd_budget_gives_back_the_reference(model: LanguageModel, tmp_path: Path) -> None:
    made = preference_trainer(model, RunFolder(tmp_path), kl_every=1, learning_rate=0.5, kl_budget=1e-6)
    start = weights(made).clone()
    result = made.run()
    assert result.reason == "kl_budget" and torch.equal(weights(made), start)
    assert result.kl_nats is not None and result.kl_nats <= 1e-6


def test_without_a_watch_nothing_is_sampled(model: LanguageModel, tmp_path: Path) -> None:
    result = preference_trainer(model, RunFolder(tmp_path), kl_every=0).run()
    assert (result.reason, result.kl_nats) == ("completed", None)
    assert not (tmp_path / "samples.jsonl").exists()
    assert all("kl_nats" not in row for row in rows(tmp_path))


def test_the_watch_changes_nothing_that_is_trained(model: LanguageModel, tmp_path: Path) -> None:
    watched = preference_trainer(model, RunFolder(tmp_path / "watched"))
    blind = preference_trainer(model, RunFolder(tmp_path / "blind"), kl_every=0)
    watched.run()
    blind.run()
    assert torch.equal(weights(watched), weights(blind))


@pytest.mark.parametrize("branch_layer", [0, 1])
def test_whole_weights_are_trained_too(tmp_path: Path, branch_layer: int) -> None:
    model = load_tiny(branch_layer=branch_layer)
    made = preference_trainer(model, RunFolder(tmp_path), train="full", branch_layer=branch_layer, learning_rate=1e-3)
    assert made.run().policy.kind == "full"
    assert rows(tmp_path)[0]["loss"] == pytest.approx(0.693147, rel=1e-5)
    assert made.accumulate(made.pairs)[0] < 0.69


def test_numbers_out_of_range_are_a_clear_error_and_move_no_weight(model: LanguageModel, tmp_path: Path) -> None:
    made = preference_trainer(model, RunFolder(tmp_path))
    with torch.no_grad():
        next(made.policy.parameters()).fill_(float("nan"))
    before = weights(made).clone()
    with pytest.raises(StageFailed, match="loss of dpo is nan.*\n.*lower dpo.learning_rate"):
        made.step(list(made.pairs))
    assert torch.equal(weights(made).nan_to_num(), before.nan_to_num())


def test_a_broken_reference_is_a_clear_error(tmp_path: Path) -> None:
    broken = load_tiny()
    broken.decoder.weights["model.norm.weight"] = broken.decoder.weights["model.norm.weight"] * float("nan")
    made = preference_trainer(broken, RunFolder(tmp_path))
    with pytest.raises(StageFailed, match="12 of 12 log-probabilities under the reference"):
        made.run()


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (Comparison(0, 1, float("nan"), 1.0), "p_a = nan"),
        (Comparison(0, 1, 1.2, 1.0), "p_a = 1.2"),
        (Comparison(0, 1, 0.5, float("inf")), "weight = inf"),
        (Comparison(0, 1, 0.5, -1.0), "weight = -1.0"),
        (Comparison(0, 2, 0.5, 1.0), "a response without tokens"),
    ],
)
def test_pairs_that_no_loss_is_defined_on_are_refused(pair: Comparison, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_pairs([Comparison(0, 1, 1.0, 1.0), pair], [[5], [6], []])


def test_no_pair_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="no pair"):
        check_pairs([], [])


def test_ties_alone_teach_kto_nothing(model64: LanguageModel, tmp_path: Path) -> None:
    made = trainer64(model64, tmp_path, "kto")
    value, slope = gradient(made, [Comparison(0, 1, 0.5, 1.0)])
    assert value == 0.0 and float(slope.abs().max()) == 0.0


def test_samples_of_the_policy_are_kept(model: LanguageModel, tmp_path: Path) -> None:
    preference_trainer(model, RunFolder(tmp_path)).run()
    samples = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [sample["step"] for sample in samples] == [3] * 4 + [6] * 4 + [8] * 4
    assert all(0 <= sample["prompt"] < len(prompt_tokens(model)) for sample in samples)


def test_every_logged_number_is_in_the_documentation(model: LanguageModel, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "learn" / "metrics.md").read_text()
    section = next(part for part in page.split("\n## ") if part.startswith("dpo\n"))
    preference_trainer(model, RunFolder(tmp_path / "kto"), loss="kto").run()
    preference_trainer(model, RunFolder(tmp_path / "bound"), kl_every=1, learning_rate=0.5, kl_budget=1e-6).run()
    names = {name for part in ("kto", "bound") for row in rows(tmp_path / part) for name in row}
    assert {name for name in names if f"| `{name}` |" not in section} == set()
