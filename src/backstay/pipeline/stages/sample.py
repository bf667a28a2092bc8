"""Sample: several responses to every train prompt, in batches that a killed run does not repeat."""

import shutil
import time
from pathlib import Path

from backstay.learn.decoding import sample
from backstay.learn.models.decoder import Adapters
from backstay.learn.models.language_model import LanguageModel
from backstay.pipeline.stage import StageContext, Summary
from backstay.pipeline.stages.base_model import (
    batch_generator,
    load_base,
    load_policy,
    names_of,
    prompt_tokens,
    response_texts,
)
from backstay.pipeline.texts import load_prompts
from backstay.records import Prompt, Response
from backstay.storage import read_records, write_records

Job = tuple[Prompt, list[int]]


def run(context: StageContext) -> Summary:
    """Write responses.jsonl."""
    recipe, settings = context.recipe, context.recipe.sample
    model = load_base(recipe, context.say)
    adapters = (load_policy(model, context.inputs["sft"]),) if settings.policy == "sft" else ()
    train = [prompt for prompt in load_prompts(recipe, context.project) if prompt.split == "train"]
    prompts, tokens = prompt_tokens(model, train, context.say)
    jobs = [job for job in zip(prompts, tokens, strict=True) for _ in range(settings.responses)]
    jobs.sort(key=lambda job: len(job[1]))
    batches = [jobs[start : start + settings.batch_size] for start in range(0, len(jobs), settings.batch_size)]
    parts = context.folder.path / "parts"
    parts.mkdir(exist_ok=True)
    context.folder.truncate({})
    responses = []
    for number, batch in enumerate(batches):
        responses += _batch(context, model, adapters, number, batch, parts)
        context.folder.metrics({"batch": number + 1, "batches": len(batches), "responses": len(responses)})
    write_records(context.folder.path / "responses.jsonl", responses)
    shutil.rmtree(parts)
    finished = sum(response.finished for response in responses) / len(responses)
    return {"responses": len(responses), "prompts": len(prompts), "policy": names_of(adapters), "finished": finished}


def _batch(
    context: StageContext, model: LanguageModel, adapters: Adapters, number: int, batch: list[Job], parts: Path
) -> list[Response]:
    done = parts / f"{number:05d}.jsonl"
    if done.exists():
        return read_records(done, Response)
    settings, started = context.recipe.sample, time.perf_counter()
    rollout = sample(
        model,
        [tokens for _, tokens in batch],
        adapters=adapters,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        generator=batch_generator(settings.seed, number),
    )
    sampling = {"temperature": settings.temperature, "max_new_tokens": settings.max_new_tokens}
    texts = response_texts(model, rollout)
    responses = [
        Response.make(prompt.id, text, policy=names_of(adapters), finished=finished, sampling=sampling)
        for (prompt, _), text, finished in zip(batch, texts, rollout.finished_B.tolist(), strict=True)
    ]
    write_records(done, responses)
    tokens = int(rollout.dialogues.response_B.sum())
    context.folder.timing({"batch": number + 1, "seconds": time.perf_counter() - started, "tokens": tokens})
    return responses
