from dataclasses import replace

import torch
from judged_material import PROMPTS, material

from backstay.learn.scalar_models import new_member
from backstay.pipeline.stages.reward import _normalised, prompt_reference_scores


def test_reference_scores_are_those_of_every_member_on_responses_of_the_sft_policy() -> None:
    found = material()
    ids = [prompt.id for prompt in found.prompts]
    policies = {0: "ppo", 2: "ppo", 3: "ppo"}  # one response of prompt 0, and both of prompt 1
    responses = [r.model_copy(update={"policy": policies.get(row, "sft")}) for row, r in enumerate(found.responses)]
    decoder, generator = found.rows.model.decoder, torch.Generator().manual_seed(0)
    members = [new_member(decoder, layers=0, rank=2, generator=generator) for _ in range(2)]
    for member, (gain, bias) in zip(members, ((2.0, 0.0), (-1.0, 0.5)), strict=True):
        member.gain.fill_(gain)
        member.bias.fill_(bias)
    raw = torch.stack([torch.arange(2.0 * PROMPTS), torch.arange(2.0 * PROMPTS)])
    scores = prompt_reference_scores(replace(found, responses=responses), _normalised(members, raw))
    assert scores[ids[0]] == [[2.0, -0.5]]
    assert scores[ids[1]] == [[4.0, -1.5], [6.0, -2.5]]
    assert scores[ids[2]] == [[8.0, -3.5], [10.0, -4.5]]
    assert set(scores) == set(ids)
