import pytest
import torch
from torch import Tensor

from backstay.errors import UsageError
from backstay.learn.models.architecture import Architecture, parse_architecture, supports
from backstay.learn.models.decoder import Decoder, attention_mask, positions_of
from backstay.learn.models.language_model import LanguageModel

LENGTHS = (9, 4, 1, 7)
WIDTH = 12


def random_rows() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(4, 90, (length,), generator=generator) for length in LENGTHS]


def padded(rows: list[Tensor], side: str) -> tuple[Tensor, Tensor]:
    tokens, mask = torch.zeros(len(rows), WIDTH, dtype=torch.long), torch.zeros(len(rows), WIDTH, dtype=torch.bool)
    for index, row in enumerate(rows):
        place = slice(WIDTH - len(row), WIDTH) if side == "left" else slice(0, len(row))
        tokens[index, place], mask[index, place] = row, True
    return tokens, mask


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_does_not_change_a_row(model64: LanguageModel, side: str) -> None:
    decoder, rows = model64.decoder, random_rows()
    tokens, mask = padded(rows, side)
    together = decoder.top(decoder.trunk(tokens, mask), mask)
    for index, row in enumerate(rows):
        real = torch.ones(1, len(row), dtype=torch.bool)
        alone = decoder.top(decoder.trunk(row[None], real), real)[0]
        assert (together[index][mask[index]] - alone).abs().max() < 1e-10


def test_tokens_of_padding_do_not_matter(model64: LanguageModel) -> None:
    decoder = model64.decoder
    tokens, mask = padded(random_rows(), "left")
    other = tokens.masked_fill(~mask, 77)
    first, second = (decoder.top(decoder.trunk(x, mask), mask)[mask] for x in (tokens, other))
    assert torch.equal(first, second)


def test_no_position_sees_the_future(model64: LanguageModel) -> None:
    decoder = model64.decoder
    row, real = random_rows()[0][None], torch.ones(1, 9, dtype=torch.bool)
    changed = row.clone()
    changed[0, 5] = 88
    before, after = (decoder.top(decoder.trunk(x, real), real)[0] for x in (row, changed))
    difference = (before - after).abs().amax(-1)
    assert difference[:5].max() == 0
    assert difference[5:].min() > 0


def test_the_cut_at_the_branch_changes_nothing(model64: LanguageModel) -> None:
    tokens, mask = padded(random_rows(), "left")
    outputs = []
    for branch_layer in (0, 1, 2, 9):  # the tiny model has two layers: 9 counts as 2
        decoder = Decoder(model64.decoder.architecture, model64.decoder.weights, branch_layer)
        assert decoder.branch_layer == min(branch_layer, 2)
        outputs.append(decoder.top(decoder.trunk(tokens, mask), mask))
    assert all(torch.equal(outputs[0], other) for other in outputs[1:])


def test_a_cache_gives_what_one_pass_gives(model64: LanguageModel) -> None:
    decoder = model64.decoder
    tokens, mask = padded(random_rows(), "left")
    whole = decoder.top(decoder.trunk(tokens, mask), mask)
    cache, parts = decoder.new_cache(WIDTH), []
    for start, stop in ((0, 5), (5, 6), (6, 10), (10, WIDTH)):
        seen = mask[:, :stop]
        parts.append(decoder.top(decoder.trunk(tokens[:, start:stop], seen, cache), seen, (), cache))
        cache.advance(stop - start)
    assert (torch.cat(parts, 1) - whole)[mask].abs().max() < 1e-10


def test_rows_kept_in_a_cache_go_on_as_before(model64: LanguageModel) -> None:
    decoder, order = model64.decoder, torch.tensor([3, 0, 3])
    tokens, mask = padded(random_rows(), "left")
    whole = decoder.trunk(tokens, mask)
    cache = decoder.new_cache(WIDTH)
    decoder.trunk(tokens[:, :8], mask[:, :8], cache)
    cache.advance(8)
    cache.keep(order)
    rest = decoder.trunk(tokens[order, 8:], mask[order], cache)
    assert (rest - whole[order, 8:])[mask[order, 8:]].abs().max() < 1e-10


def test_positions_count_real_tokens_only() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()
    assert positions_of(mask).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 2, 2]]


def test_attention_sees_real_positions_up_to_itself() -> None:
    mask = torch.tensor([[False, True, True, False]])
    seen = attention_mask(mask, 3)[0, 0].tolist()
    for query, row in enumerate(seen):
        own = query + 1
        assert row == [key == own or (key <= own and bool(mask[0, key])) for key in range(4)]


def test_a_configuration_without_sizes_is_refused() -> None:
    with pytest.raises(UsageError, match="num_attention_heads"):
        parse_architecture({"model_type": "llama"})
    with pytest.raises(UsageError, match="vocab_size"):
        parse_architecture({"model_type": "llama", "num_attention_heads": 4})


def test_sizes_that_follow_from_others() -> None:
    sizes = {"vocab_size": 10, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 3}
    found = parse_architecture({"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2, **sizes})
    assert (found.head_dim, found.query_size, found.key_value_size) == (6, 24, 12)
    by_hand = 24 * 24 + 2 * 12 * 24 + 24 * 24 + 3 * 24 * 32  # q, k and v, o, then the three of the feed-forward
    assert found.layer_parameters == by_hand
    assert isinstance(found, Architecture)


@pytest.mark.parametrize(
    ("change", "ours"),
    [
        ({}, True),
        ({"model_type": "gpt2"}, False),
        ({"hidden_act": "gelu"}, False),
        ({"mlp_bias": True}, False),
        ({"attention_bias": True}, False),
        ({"model_type": "qwen2", "attention_bias": True}, True),
        ({"sliding_window": 4096}, False),
        ({"sliding_window": 4096, "use_sliding_window": False}, True),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, False),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, False),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}, True),
    ],
)
def test_only_what_we_compute_exactly_is_ours(change: dict[str, object], ours: bool) -> None:
    assert supports({"model_type": "llama", **change}) is ours
