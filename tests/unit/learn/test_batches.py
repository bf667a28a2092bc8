import pytest
import torch

from backstay.learn.batches import Dialogues, by_length, pad_dialogues, shuffled, similar_rows

PROMPTS = [[5, 6, 7], [8], [9, 10]]
RESPONSES = [[11], [12, 13, 14, 15], [16, 17]]


def test_prompts_end_and_responses_start_at_one_column() -> None:
    dialogues = pad_dialogues(PROMPTS, RESPONSES, 0)
    wanted = [[5, 6, 7, 11, 0, 0, 0], [0, 0, 8, 12, 13, 14, 15], [0, 9, 10, 16, 17, 0, 0]]
    assert dialogues.tokens_B_T.tolist() == wanted
    assert (dialogues.prompt_width, dialogues.response_width) == (3, 4)
    assert dialogues.responses_B_R.tolist() == [row[3:] for row in wanted]


@pytest.mark.parametrize("pad_id", [0, 5, 12, 17])
def test_masks_come_from_lengths_whatever_the_pad_token(pad_id: int) -> None:
    dialogues = pad_dialogues(PROMPTS, RESPONSES, pad_id)
    for row, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        real = dialogues.mask_B_T[row]
        assert dialogues.tokens_B_T[row][real].tolist() == prompt + response
        assert dialogues.responses_B_R[row][dialogues.response_mask_B_R[row]].tolist() == response
        assert int(real.sum()) == len(prompt) + len(response)


def test_rows_and_columns_keep_the_tokens() -> None:
    dialogues = pad_dialogues(PROMPTS, RESPONSES, 0)
    few = dialogues.rows(torch.tensor([2, 0]))
    assert few.used_columns() == slice(0, 5)
    shortest = dialogues.rows(torch.tensor([2]))
    assert shortest.used_columns() == slice(1, 5)
    cut = shortest.columns(shortest.used_columns())
    assert cut.tokens_B_T.tolist() == [[9, 10, 16, 17]]
    assert (cut.prompt_width, cut.response_width) == (2, 2)
    assert cut.mask_B_T.all() and cut.response_mask_B_R.all()


def test_an_empty_response_is_all_padding() -> None:
    dialogues = pad_dialogues([[1, 2], [3]], [[], [4]], 0)
    assert dialogues.response_mask_B_R.tolist() == [[False], [True]]
    assert isinstance(dialogues, Dialogues)


def test_batches_by_length_hold_every_row_once_longest_first() -> None:
    lengths = [3, 9, 1, 9, 4, 2, 7]
    batches = list(by_length(lengths, 3))
    assert [[lengths[i] for i in batch] for batch in batches] == [[9, 9, 7], [4, 3, 2], [1]]
    assert batches[0][:2] == [1, 3]
    assert sorted(i for batch in batches for i in batch) == list(range(7))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_groups_of_similar_rows_hold_every_row_once(size: int) -> None:
    dialogues = pad_dialogues([[1] * n for n in (3, 9, 1, 4, 2)], [[1] * n for n in (2, 1, 1, 5, 9)], 0)
    lengths = [5, 10, 2, 9, 11]
    groups = [group.tolist() for group in similar_rows(dialogues, torch.tensor([4, 1, 0, 2]), size)]
    assert [len(group) for group in groups[:-1]] == [size] * (len(groups) - 1)
    assert [lengths[row] for group in groups for row in group] == [2, 5, 10, 11]


def test_a_shuffle_is_a_seeded_permutation() -> None:
    order = shuffled(50, torch.Generator().manual_seed(0))
    assert sorted(order) == list(range(50)) and order != list(range(50))
    assert order == shuffled(50, torch.Generator().manual_seed(0))
