import random

import pytest
import torch
from tiny_loop import fresh_adapter, load_tiny, shaken, tiny_shape

from backstay.learn import branch_states
from backstay.learn.branch_states import BranchStates
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.scalar_models import pooled


def texts(count: int = 12) -> tuple[list[list[int]], list[list[int]], list[int]]:
    """Ragged prompts, ragged responses, one of them empty, and whose they are; one prompt has none."""
    draw = random.Random(0)
    prompts = [[draw.randrange(4, 90) for _ in range(draw.randrange(1, 9))] for _ in range(5)]
    responses = [[draw.randrange(4, 90) for _ in range(draw.randrange(1, 7))] for _ in range(count)]
    responses[3] = []
    return prompts, responses, [draw.choice((0, 1, 3, 4)) for _ in range(count)]


@pytest.mark.parametrize("tokens_at_once", [1, 20, 4096])
@pytest.mark.parametrize("branch_layer", [0, 1])
def test_shared_prompts_give_a_plain_pass_row_by_row(
    branch_layer: int, tokens_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(branch_states, "TOKENS_AT_ONCE", tokens_at_once)
    model = load_tiny(torch.float64, branch_layer=branch_layer)
    prompts, responses, prompt_of = texts()
    rows = BranchStates(model, prompts, responses, prompt_of)
    dialogues, branch = rows.batch([7, 0, 3, 11, 5])
    for index, row in enumerate([7, 0, 3, 11, 5]):
        whole = prompts[prompt_of[row]] + responses[row]
        assert dialogues.tokens_B_T[index][dialogues.mask_B_T[index]].tolist() == whole
        plain = model.decoder.trunk(torch.tensor([whole]), torch.ones(1, len(whole), dtype=torch.bool))[0]
        assert (branch[index][dialogues.mask_B_T[index]] - plain).abs().max() < 1e-10


def test_a_prompt_runs_through_the_trunk_once(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts, responses, prompt_of = texts()
    seen: list[int] = []
    plain = type(model.decoder).trunk

    def counted(decoder: object, tokens: torch.Tensor, *rest: object, **named: object) -> torch.Tensor:
        seen.append(tokens.numel())
        return plain(decoder, tokens, *rest, **named)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(type(model.decoder), "trunk", counted)
    rows = BranchStates(model, prompts, responses, prompt_of)
    rows.batch([0, 1])
    used = sorted({*prompt_of})
    assert seen == [len(used) * max(len(prompts[p]) for p in used), 12 * max(len(r) for r in responses)]
    rows.batch(list(range(12)))
    assert len(seen) == 2


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("branch_layer", [0, 1])
def test_features_are_the_pooled_states_of_every_row(branch_layer: int, kept: bool) -> None:
    model = load_tiny(torch.float64, branch_layer=branch_layer)
    rows = BranchStates(model, *texts())
    if kept:
        rows.compute()
    found = rows.features()
    for row in range(12):
        dialogues, branch = BranchStates(model, *texts()).batch([row, (row + 5) % 12])
        assert (found[row] - pooled(branch, dialogues)[0]).abs().max() < 1e-10
    assert bool(rows._response_states) is kept  # states that were not there before do not stay
    assert rows.features() is found


def test_an_adapter_matters_only_where_it_owns_the_embedding() -> None:
    prompts, responses, prompt_of = texts()
    for branch_layer, matters in ((0, True), (1, False)):
        model = load_tiny(branch_layer=branch_layer)
        shape = tiny_shape(branch_layer=branch_layer, train="full")
        adapter = shaken(fresh_adapter(model, shape)).requires_grad_(False)
        rows = BranchStates(model, prompts, responses, prompt_of)
        difference = rows.batch([0, 1], (adapter,))[1] - rows.batch([0, 1])[1]
        assert bool(difference.abs().max() > 0) is matters


def test_padding_holds_zeros(model: LanguageModel) -> None:
    rows = BranchStates(model, *texts())
    dialogues, branch = rows.batch(range(12))
    assert branch[~dialogues.mask_B_T].abs().max() == 0
    assert len(rows) == 12
