import pytest
import torch
from tiny_loop import fresh_adapter, load_tiny, shaken, tiny_shape
from torch import Tensor

from backstay.learn.batches import Dialogues, pad_dialogues
from backstay.learn.models.decoder import Adapters
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import branch_under, response_logprobs

PROMPTS = [[1, 5, 9, 33], [1, 70], [1, 4, 4, 8, 20, 21, 60]]
RESPONSES = [[11, 2], [40, 41, 42, 43, 2], [90]]


def slow(model: LanguageModel, row: int, adapters: Adapters, temperature: float) -> list[float]:
    """log-probabilities of a response from a full softmax at every position of the unpadded text."""
    tokens = torch.tensor([PROMPTS[row] + RESPONSES[row]])
    real = torch.ones(tokens.shape, dtype=torch.bool)
    decoder = model.decoder
    hidden = decoder.top(decoder.trunk(tokens, real, adapters=adapters), real, adapters)[0]
    chances = (decoder.logits(hidden, adapters) / temperature).softmax(-1).log()
    start = len(PROMPTS[row])
    return [float(chances[start - 1 + i, token].detach()) for i, token in enumerate(RESPONSES[row])]


@pytest.mark.parametrize("kind", ["lora", "full"])
@pytest.mark.parametrize("branch_layer", [0, 1])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_log_probabilities_equal_a_full_softmax(branch_layer: int, kind: str, temperature: float) -> None:
    model = load_tiny(torch.float64, branch_layer=branch_layer)
    adapter = shaken(fresh_adapter(model, tiny_shape(branch_layer=branch_layer, train=kind)))
    dialogues = pad_dialogues(PROMPTS, RESPONSES, 0)
    base = model.decoder.trunk(dialogues.tokens_B_T, dialogues.mask_B_T)
    branch = branch_under(model.decoder, dialogues, base, (adapter,))
    found = response_logprobs(model.decoder, dialogues, branch, (adapter,), temperature=temperature).detach()
    for row, response in enumerate(RESPONSES):
        wanted = slow(model, row, (adapter,), temperature)
        assert found[row, : len(response)].tolist() == pytest.approx(wanted, abs=1e-10)
        assert found[row, len(response) :].abs().sum() == 0


def widened(dialogues: Dialogues, left: int, right: int) -> Dialogues:
    tokens = torch.nn.functional.pad(dialogues.tokens_B_T, (left, right), value=77)
    return Dialogues(tokens, dialogues.prompt_B, dialogues.response_B, dialogues.prompt_width + left)


def summed(model: LanguageModel, dialogues: Dialogues, adapters: Adapters) -> Tensor:
    branch = model.decoder.trunk(dialogues.tokens_B_T, dialogues.mask_B_T)
    return response_logprobs(model.decoder, dialogues, branch, adapters).sum()


@pytest.mark.parametrize(("left", "right"), [(5, 0), (0, 6), (3, 4)])
def test_more_padding_changes_neither_loss_nor_gradient(model64: LanguageModel, left: int, right: int) -> None:
    adapter = shaken(fresh_adapter(model64, tiny_shape()))
    dialogues = pad_dialogues(PROMPTS, RESPONSES, 0)
    found = []
    for form in (dialogues, widened(dialogues, left, right)):
        loss = summed(model64, form, (adapter,))
        found.append((loss.detach(), torch.autograd.grad(loss, list(adapter.parameters()))))
    assert abs(found[0][0] - found[1][0]) < 1e-10
    assert max(float((a - b).abs().max()) for a, b in zip(found[0][1], found[1][1], strict=True)) < 1e-10


def test_training_a_policy_leaves_base_and_reference_alone(model: LanguageModel) -> None:
    shape = tiny_shape()
    reference = shaken(fresh_adapter(model, shape)).requires_grad_(False)
    policy = fresh_adapter(model, shape, (reference,), seed=1)
    dialogues = pad_dialogues(PROMPTS, RESPONSES, 0)
    weights = {name: tensor.clone() for name, tensor in model.decoder.weights.items()}
    before = [summed(model, dialogues, adapters).detach() for adapters in ((), (reference,), (reference, policy))]
    assert before[1] == before[2]
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        torch.autograd.backward(-summed(model, dialogues, (reference, policy)) / 8)
        optimizer.step()
    after = [summed(model, dialogues, adapters).detach() for adapters in ((), (reference,), (reference, policy))]
    assert after[0] == before[0] and after[1] == before[1]
    assert float(after[2] - before[2]) > 0.5
    assert all(torch.equal(tensor, model.decoder.weights[name]) for name, tensor in weights.items())
