import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_loop import fresh_members, shaken
from torch import Tensor
from torch.nn import functional

from backstay.errors import IntegrityError
from backstay.learn.batches import Dialogues, pad_dialogues
from backstay.learn.models.decoder import Decoder
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.scalar_models import (
    INTERACTIONS,
    RewardHead,
    RewardMember,
    ValueModel,
    load_member,
    new_member,
    normalise,
    pooled,
    save_member,
    scale,
)

PROMPTS = [[1, 5, 9, 33], [1, 70], [1, 4, 4, 8, 20, 21, 60]]
RESPONSES = [[11, 2], [40, 41, 42, 43, 2], [90]]


def scores(model: LanguageModel, member: RewardMember, dialogues: Dialogues) -> Tensor:
    branch = model.decoder.trunk(dialogues.tokens_B_T, dialogues.mask_B_T)
    with torch.no_grad():
        found: Tensor = member(model.decoder, dialogues, branch)
    return found


def unit(vector: list[float]) -> list[float]:
    """A vector at root mean square 1."""
    size = math.sqrt(sum(x * x for x in vector) / len(vector))
    return [x / size for x in vector]


def unit_mean(states: list[list[float]]) -> list[float]:
    return unit([sum(column) / len(states) for column in zip(*states, strict=True)])


def test_pooling_equals_a_slow_loop() -> None:
    dialogues = pad_dialogues(PROMPTS, RESPONSES, 0)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(*dialogues.tokens_B_T.shape, 6, generator=generator, dtype=torch.float64)
    found = pooled(hidden, dialogues)
    width = dialogues.prompt_width
    for row, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        states = [unit(state.tolist()) for state in hidden[row]]
        asked, answered = states[width - len(prompt) : width], states[width : width + len(response)]
        wanted = [*unit_mean(answered), *unit_mean(answered[:4]), *answered[-1], *unit_mean(asked), *asked[-1]]
        assert found[row].tolist() == pytest.approx(wanted, abs=1e-6)


def test_the_head_by_hand() -> None:
    head = RewardHead(4).double()
    head.initialise(torch.Generator().manual_seed(0))
    shaken(head, seed=1)
    features = torch.randn(3, 20, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = head(features).tolist()
    for row in range(3):
        response, prompt = features[row, :12], features[row, 12:]
        total = float((head.linear.weight[0] @ response + head.linear.bias[0]).detach())
        for k in range(INTERACTIONS):
            left = float((head.response.weight[k] @ response).detach())
            right = float((head.prompt.weight[k] @ prompt + head.prompt.bias[k]).detach())
            total += left * right / math.sqrt(INTERACTIONS)
        assert found[row] == pytest.approx(total, abs=1e-10)


def test_the_head_starts_small_and_unbiased() -> None:
    head = RewardHead(128)
    head.initialise(torch.Generator().manual_seed(0))
    assert float(head.response.weight.detach().std()) == pytest.approx(1 / math.sqrt(3 * 128 + 1), rel=0.05)
    assert float(head.prompt.weight.detach().std()) == pytest.approx(1 / math.sqrt(2 * 128 + 1), rel=0.05)
    assert float(head.linear.bias.detach()) == 0 and float(head.prompt.bias.detach().abs().max()) == 0


@pytest.mark.parametrize("layers", [0, 1])
def test_padding_and_company_do_not_change_a_score(model64: LanguageModel, layers: int) -> None:
    (member,) = fresh_members(model64, 1, layers=layers)
    together = pad_dialogues(PROMPTS, RESPONSES, 0)
    padded = Dialogues(
        functional.pad(together.tokens_B_T, (3, 4), value=77),
        together.prompt_B,
        together.response_B,
        together.prompt_width + 3,
    )
    alone = [scores(model64, member, pad_dialogues([p], [r], 0))[0] for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    for found in (scores(model64, member, together), scores(model64, member, padded)):
        assert (found - torch.stack(alone)).abs().max() < 1e-10


def test_a_fresh_adapter_leaves_the_base_states_alone(model: LanguageModel) -> None:
    generator = torch.Generator().manual_seed(0)
    member = new_member(model.decoder, layers=1, rank=4, generator=generator)
    dialogues = pad_dialogues(PROMPTS, RESPONSES, 0)
    branch = model.decoder.trunk(dialogues.tokens_B_T, dialogues.mask_B_T)
    plain = pooled(model.decoder.layers(branch, dialogues.mask_B_T, 1, 2), dialogues)
    assert torch.equal(member.features(model.decoder, dialogues, branch).detach(), plain)


@pytest.mark.parametrize(
    ("branch_layer", "wanted", "got"), [(0, 1, 1), (0, 9, 2), (0, 0, 2), (1, 9, 1), (2, 1, 0), (1, 0, 0)]
)
def test_a_member_runs_no_more_layers_than_there_are(
    model: LanguageModel, branch_layer: int, wanted: int, got: int
) -> None:
    decoder = Decoder(model.decoder.architecture, model.decoder.weights, branch_layer)
    member = new_member(decoder, layers=wanted, rank=2, generator=torch.Generator().manual_seed(0))
    assert member.layers == got
    assert (member.adapter is None) is (got == 0)


def test_normalised_members_have_mean_0_and_their_mean_deviation_1(model: LanguageModel) -> None:
    members = fresh_members(model, 3)
    dialogues = pad_dialogues(PROMPTS * 4, [[i + 9, *r] for i, r in enumerate(RESPONSES * 4)], 0)
    raw = torch.stack([scores(model, member, dialogues) for member in members])
    normalise(members, raw)
    after = torch.stack([scores(model, member, dialogues) for member in members])
    assert after.mean(1).tolist() == pytest.approx([0.0] * 3, abs=1e-5)
    assert float(after.mean(0).std(unbiased=False)) == pytest.approx(1.0, abs=1e-5)
    spreads = after.std(1, unbiased=False)
    assert spreads.tolist() == pytest.approx([float(spreads[0])] * 3, rel=1e-4)  # every member on one scale
    assert torch.equal(raw.argsort(1), after.argsort(1))  # the order within a member stays


def test_scaled_members_keep_their_zero(model: LanguageModel) -> None:
    members = fresh_members(model, 3)
    dialogues = pad_dialogues(PROMPTS * 4, [[i + 9, *r] for i, r in enumerate(RESPONSES * 4)], 0)
    raw = torch.stack([scores(model, member, dialogues) for member in members])
    scale(members, raw)
    after = torch.stack([scores(model, member, dialogues) for member in members])
    sizes = after.square().mean(1).sqrt()
    assert sizes.tolist() == pytest.approx([float(sizes[0])] * 3, rel=1e-5)
    assert float(after.mean(0).square().mean().sqrt()) == pytest.approx(1.0, abs=1e-5)
    assert torch.equal(raw > 0, after > 0) and all(float(member.bias) == 0 for member in members)


@pytest.mark.parametrize("layers", [0, 1])
def test_a_member_survives_the_disk(model: LanguageModel, tmp_path: Path, layers: int) -> None:
    (member,) = fresh_members(model, 1, layers=layers)
    normalise([member], torch.tensor([[1.0, 5.0]]))
    save_member(member, tmp_path, base="tiny")
    read = load_member(model.decoder, tmp_path)
    dialogues = pad_dialogues(PROMPTS, RESPONSES, 0)
    assert torch.equal(scores(model, member, dialogues), scores(model, read, dialogues))
    assert (float(read.gain), float(read.bias)) == (0.5, -1.5)
    assert not any(parameter.requires_grad for parameter in read.parameters())
    assert json.loads((tmp_path / "member.json").read_text()) == {"layers": layers, "base": "tiny"}
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_the_length_slope_is_taken_out_before_normalisation(model: LanguageModel, tmp_path: Path) -> None:
    (member,) = fresh_members(model, 1)
    dialogues = pad_dialogues(PROMPTS, RESPONSES, 0)
    raw = scores(model, member, dialogues).tolist()
    member.slope.fill_(0.3)
    member.gain.fill_(2.0)
    member.bias.fill_(-1.0)
    wanted = [2 * (r - 0.3 * math.log(1 + len(x))) - 1 for r, x in zip(raw, RESPONSES, strict=True)]
    assert scores(model, member, dialogues).tolist() == pytest.approx(wanted, abs=1e-5)
    save_member(member, tmp_path, base="tiny")
    assert torch.equal(scores(model, load_member(model.decoder, tmp_path), dialogues), scores(model, member, dialogues))
    features = torch.randn(2, sum(member.head.sizes), generator=torch.Generator().manual_seed(0))
    plain = member.score(features)
    assert plain.tolist() == pytest.approx((2 * member.head(features) - 1).tolist())


def test_a_member_from_before_there_were_slopes_has_none(model: LanguageModel, tmp_path: Path) -> None:
    save_member(fresh_members(model, 1)[0], tmp_path, base="tiny")
    tensors = load_file(tmp_path / "head.safetensors")
    del tensors["slope"]
    save_file(tensors, tmp_path / "head.safetensors")
    assert float(load_member(model.decoder, tmp_path).slope) == 0.0


def test_a_member_of_another_base_is_refused(model: LanguageModel, tmp_path: Path) -> None:
    save_member(fresh_members(model, 1)[0], tmp_path, base="tiny", digest="abc")
    load_member(model.decoder, tmp_path)
    load_member(model.decoder, tmp_path, digest="abc")
    with pytest.raises(IntegrityError, match="trained on another base than 'tiny' is now"):
        load_member(model.decoder, tmp_path, digest="abd")


@pytest.mark.hostile
@pytest.mark.parametrize("broken", ["missing", "foreign", "other-shape", "cut"])
def test_a_head_that_does_not_fit_is_refused(model: LanguageModel, tmp_path: Path, broken: str) -> None:
    save_member(fresh_members(model, 1)[0], tmp_path, base="tiny")
    file = tmp_path / "head.safetensors"
    tensors = load_file(file)
    if broken == "missing":
        del tensors["head.linear.weight"]
    if broken == "foreign":
        tensors["head.other.weight"] = torch.ones(2)
    if broken == "other-shape":
        tensors["head.linear.weight"] = torch.ones(1, 3)
    save_file(tensors, file)
    if broken == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(IntegrityError, match=r"head\.safetensors"):
        load_member(model.decoder, tmp_path)


def test_the_value_model_starts_at_zero_and_sees_directions_only() -> None:
    value = ValueModel(8, 16, torch.Generator().manual_seed(0)).double()
    branch = torch.randn(5, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert value(branch).abs().max() == 0
    shaken(value)
    assert (value(3 * branch) - value(branch)).abs().max() < 1e-6


def test_the_value_model_by_hand() -> None:
    value = shaken(ValueModel(3, 4, torch.Generator().manual_seed(0)).double())
    branch = [0.3, -1.2, 2.0]
    normed = unit(branch)
    total = float(value.outer.bias.detach())
    for k in range(4):
        inner = sum(float(w) * x for w, x in zip(value.inner.weight[k].detach(), normed, strict=True))
        inner += float(value.inner.bias[k].detach())
        total += float(value.outer.weight[0, k].detach()) * inner * (1 + math.erf(inner / math.sqrt(2))) / 2
    assert float(value(torch.tensor([branch], dtype=torch.float64)).detach()) == pytest.approx(total, abs=1e-10)
