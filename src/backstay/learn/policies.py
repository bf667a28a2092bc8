"""Policies as stacks of adapters on one base, and the log-probabilities they give to fixed responses."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from backstay.learn.batches import Dialogues
from backstay.learn.models.adapters import Adapter, full, lora
from backstay.learn.models.decoder import Adapters, Decoder
from backstay.learn.settings import ModelSettings


def new_adapter(
    decoder: Decoder, settings: ModelSettings, name: str, below: Adapters, generator: torch.Generator
) -> Adapter:
    """A trainable adapter that leaves the policy `below` unchanged until it is trained.

    Every adapter of a stack is of the kind that `settings.train` names.
    """
    kind: Literal["lora", "full"] = settings.train
    if kind == "full":
        start = dict(decoder.trainable_weights())
        for adapter in below:
            start |= {path: whole for path in start if (whole := adapter.whole(path)) is not None}
        return full(name, start)
    made = lora(name, decoder.lora_shapes(), rank=settings.lora_rank, alpha=settings.lora_alpha, generator=generator)
    return made.to(decoder.embedding.device)


def branch_under(decoder: Decoder, dialogues: Dialogues, branch_B_T_D: Tensor, adapters: Adapters) -> Tensor:
    """Branch states as `adapters` see them: those of decoding, save at branch layer 0, where they are looked up again.

    There an adapter may own the embedding.
    """
    if decoder.branch_layer > 0:
        return branch_B_T_D
    return decoder.trunk(dialogues.tokens_B_T, dialogues.mask_B_T, adapters=adapters)


def response_logprobs(
    decoder: Decoder, dialogues: Dialogues, branch_B_T_D: Tensor, adapters: Adapters, *, temperature: float = 1.0
) -> Tensor:
    """Log pi(token) at `temperature` of every response token, `[B, R]`, zero beyond each response.

    The language-model head runs on real response positions only; columns of padding are cut off before the layers run.
    """
    used = dialogues.used_columns()
    cut = dialogues.columns(used)
    hidden = decoder.top(branch_B_T_D[:, used], cut.mask_B_T, adapters)
    mask = cut.response_mask_B_R
    before = hidden[:, cut.prompt_width - 1 : cut.prompt_width - 1 + cut.response_width]
    token_N = cut.responses_B_R[mask]
    logits = decoder.logits(before[mask], adapters) / temperature
    logprob_N = -functional.cross_entropy(logits, token_N, reduction="none")
    out = logprob_N.new_zeros(len(mask), dialogues.response_width)
    row, column = mask.nonzero(as_tuple=True)
    return out.index_put((row, column), logprob_N)
