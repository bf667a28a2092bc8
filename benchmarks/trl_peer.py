"""The side of `trl_oracle.py` that runs in TRL's environment: TRL's trainers on the batch that the other side wrote.

    python benchmarks/trl_peer.py WORK

Reads batch.json and the models policy/ and reference/ in WORK; writes theirs.json, the reward head that it drew, and
what GRPO and RLOO sampled.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedTokenizerFast
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    RLOOConfig,
    RLOOTrainer,
)

Numbers = float | list[float]
KEPT = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages")


def main() -> None:
    work = Path(sys.argv[1])
    batch = json.loads((work / "batch.json").read_text())
    how = batch["how"]
    theirs: dict[str, Numbers] = {name: dpo(work, batch, name, kind) for name, kind in how["offline"].items()}
    theirs |= {name: kto(work, batch, roles) for name, roles in how["kto"].items()}
    theirs["reward"] = reward(work, batch)
    for name, kind in how["online"].items():
        theirs |= online(work, batch, name, kind)
    (work / "theirs.json").write_text(json.dumps(theirs))


def model_of(work: Path, role: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(work / role, dtype="float32")


def tokenizer_of(work: Path) -> Any:
    named = json.loads((work / "policy" / "tokenizer_config.json").read_text())
    file = str(work / "policy" / "tokenizer.json")
    found = PreTrainedTokenizerFast(tokenizer_file=file, eos_token=named["eos_token"], pad_token=named["pad_token"])
    found.chat_template = named["chat_template"]
    return found


def plain(work: Path) -> dict[str, Any]:
    """What every trainer is told."""
    shared = {"report_to": "none", "use_cpu": True, "bf16": False, "seed": 0, "gradient_checkpointing": False}
    return {"output_dir": str(work / "trl"), **shared}


def loss_of(trainer: Any, examples: list[dict[str, Any]]) -> float:
    """The loss of a batch that the trainer's own collator makes of some examples."""
    trainer.model.train()
    return float(trainer.compute_loss(trainer.model, trainer.data_collator(examples)))


def dpo(work: Path, batch: dict[str, Any], name: str, kind: str) -> float:
    flip_rate = batch["how"]["flip_rate"]
    settings = DPOConfig(
        **plain(work),
        beta=batch["how"]["beta"],
        loss_type=kind,
        label_smoothing=flip_rate if kind == "robust" else 0.0,
        max_length=None,
    )
    rows = Dataset.from_dict({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]})
    policy, reference = model_of(work, "policy"), model_of(work, "reference")
    trainer = DPOTrainer(policy, reference, args=settings, train_dataset=rows, processing_class=tokenizer_of(work))
    pairs = [
        {"prompt_ids": batch["prompts"][batch["prompt_of"][a]], "chosen_ids": a_ids, "rejected_ids": b_ids}
        for a, (a_ids, b_ids) in zip(
            range(0, len(batch["responses"]), 2),
            zip(batch["responses"][::2], batch["responses"][1::2], strict=True),
            strict=True,
        )
    ]
    loss = loss_of(trainer, pairs)
    if name != "cdpo":
        return loss
    flipped = [row | {"chosen_ids": row["rejected_ids"], "rejected_ids": row["chosen_ids"]} for row in pairs]
    return (1 - flip_rate) * loss + flip_rate * loss_of(trainer, flipped)


def kto(work: Path, batch: dict[str, Any], roles: list[str]) -> float:
    how = batch["how"]
    settings = KTOConfig(
        **plain(work),
        beta=how["beta"],
        desirable_weight=how["desirable_weight"],
        undesirable_weight=how["undesirable_weight"],
        max_length=None,
        per_device_train_batch_size=2,
    )
    rows = Dataset.from_dict({"prompt": ["a", "the"], "completion": ["is", "of"], "label": [True, False]})
    policy, reference = (model_of(work, role) for role in roles)
    trainer = KTOTrainer(policy, reference, args=settings, train_dataset=rows, processing_class=tokenizer_of(work))
    examples = [
        {
            "prompt_ids": batch["prompts"][batch["prompt_of"][index]],
            "completion_ids": response,
            "KL_completion_ids": batch["responses"][batch["strangers"][index]],
            "label": index % 2 == 0,
        }
        for index, response in enumerate(batch["responses"])
    ]
    return loss_of(trainer, examples)


def reward(work: Path, batch: dict[str, Any]) -> float:
    torch.manual_seed(7)
    model = AutoModelForSequenceClassification.from_pretrained(work / "policy", num_labels=1, dtype="float32")
    save_file({"head": model.score.weight.detach().clone()}, work / "head.safetensors")
    rows = Dataset.from_dict({"chosen": ["a is good"], "rejected": ["a is bad"]})
    settings = RewardConfig(**plain(work), max_length=None)
    trainer = RewardTrainer(model, args=settings, train_dataset=rows, processing_class=tokenizer_of(work))
    whole = [batch["prompts"][p] + r for p, r in zip(batch["prompt_of"], batch["responses"], strict=True)]
    pairs = [{"chosen_ids": a, "rejected_ids": b} for a, b in zip(whole[::2], whole[1::2], strict=True)]
    return loss_of(trainer, pairs)


def online(work: Path, batch: dict[str, Any], name: str, kind: str) -> dict[str, Numbers]:
    """Let the trainer sample and score responses, and take its loss as if another policy had sampled them."""
    given: list[float] = []

    def score(completion_ids: list[list[int]], **_: Any) -> list[float]:
        given[:] = [sum(ids) % 7 / 3 for ids in completion_ids]
        return given

    prompts = [{"prompt": [{"role": "user", "content": text}]} for text in batch["questions"][:2]]
    trainer = online_trainer(work, batch["how"], kind, score, Dataset.from_list(prompts))
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    torch.manual_seed(3)
    asked = [prompt for prompt in prompts for _ in range(batch["how"]["group"])]
    made = trainer._generate_and_score_completions(asked)  # noqa: SLF001  the step before the loss has no public name
    old = elsewhere(trainer, made, scale=0.3 if kind else 0.1)
    made |= {"old_per_token_logps": old} if kind else {"old_logps": old.sum(1)}
    kept = {key: made[key] for key in KEPT} | {"old_logprob": old, "reward": torch.tensor(given)}
    save_file({key: value.detach().clone().contiguous() for key, value in kept.items()}, work / f"{name}.safetensors")
    loss = float(trainer._compute_loss(trainer.model, made))  # noqa: SLF001  compute_loss would sample once more
    return {name: loss, f"{name} advantages": made["advantages"].tolist()}


@torch.no_grad()
def elsewhere(trainer: Any, made: dict[str, Any], *, scale: float) -> torch.Tensor:
    """Log-probabilities a token of a policy near the trainer's, so that ratios differ from 1 and some are clipped."""
    mask = made["completion_mask"]
    tokens = torch.cat((made["prompt_ids"], made["completion_ids"]), 1)
    attention = torch.cat((made["prompt_mask"], mask), 1)
    read = trainer._get_per_token_logps_and_entropies  # noqa: SLF001  as above
    logprob = read(trainer.model, tokens, attention, mask.shape[1])[0]
    return (logprob + scale * torch.randn(logprob.shape, generator=torch.Generator().manual_seed(5))) * mask


def online_trainer(work: Path, how: dict[str, Any], kind: str, score: Any, rows: Dataset) -> Any:
    """GRPO with loss `kind`, or RLOO without one."""
    shared = {
        **plain(work),
        "num_generations": how["group"],
        "per_device_train_batch_size": 2 * how["group"],
        "gradient_accumulation_steps": 1,
        "max_completion_length": 9,
        "temperature": how["temperature"],
        "epsilon": how["clip"],
        "beta": 0.0,
    }
    policy, tokenizer = model_of(work, "policy"), tokenizer_of(work)
    if not kind:
        settings = RLOOConfig(**shared)
        return RLOOTrainer(policy, score, args=settings, train_dataset=rows, processing_class=tokenizer)
    settings = GRPOConfig(**shared, loss_type=kind)
    return GRPOTrainer(policy, score, args=settings, train_dataset=rows, processing_class=tokenizer)


if __name__ == "__main__":
    main()
