"""Our recipe as options of OpenRLHF's `train_ppo_ray`; every option stands in the parser of the version named here."""

import math

from backstay.learn.run_specs.gaps import common_gaps
from backstay.learn.run_specs.spec import NEVER, Facts, Missing, RunSpec, SpecWriter

OPENRLHF_VERSION = "0.11.2"
ESTIMATORS = {"ppo": "gae", "rloo": "rloo", "grpo": "group_norm", "reinforce++": "reinforce"}


def openrlhf_spec(facts: Facts) -> RunSpec:
    """Options; paths are relative to the folder of the spec, `${GPUS}` is the shell's."""
    writer = SpecWriter()
    _data(writer, facts)
    _rollout(writer, facts)
    _policy(writer, facts)
    _kl(writer, facts)
    _machines(writer, facts)
    return RunSpec(writer.options, writer.comes_from, (*common_gaps(facts), *_gaps(facts)))


def _data(writer: SpecWriter, facts: Facts) -> None:
    writer.put("--actor.model_name_or_path", "${HERE}/reference")
    writer.put("--reward.remote_url", "${REWARD_URL}")
    writer.put("--data.prompt_dataset", "${HERE}/prompts/train.jsonl")
    writer.put("--data.input_key", "prompt")
    writer.put("--data.label_key", "prompt_id")
    writer.switch("--data.apply_chat_template")
    longest = facts.model.max_prompt_tokens + facts.ppo.max_new_tokens
    writer.put("--data.max_len", longest, "model.max_prompt_tokens + ppo.max_new_tokens")
    writer.put("--ckpt.output_dir", "${HERE}/policy")
    writer.put("--ckpt.path", "${HERE}/checkpoints")


def _rollout(writer: SpecWriter, facts: Facts) -> None:
    settings = facts.ppo
    writer.put("--rollout.max_new_tokens", settings.max_new_tokens, "ppo.max_new_tokens")
    writer.put("--rollout.temperature", settings.temperature, "ppo.temperature")
    writer.put("--rollout.batch_size", facts.prompts_a_round, "ppo.episodes / ppo.group")
    writer.put("--rollout.n_samples_per_prompt", settings.group, "ppo.group")
    writer.put("--rollout.micro_batch_size", _micro(facts), "ppo.micro_batch")
    writer.put("--train.num_episodes", facts.passes, "ppo.updates")
    writer.put("--train.seed", settings.seed, "ppo.seed")


def _policy(writer: SpecWriter, facts: Facts) -> None:
    settings = facts.ppo
    writer.put("--algo.advantage.estimator", ESTIMATORS[settings.algorithm], "ppo.algorithm")
    writer.put("--algo.advantage.gamma", settings.gamma, "ppo.gamma")
    writer.put("--algo.advantage.lambd", settings.lam, "ppo.lam")
    writer.put("--actor.adam.lr", settings.learning_rate, "ppo.learning_rate")
    writer.put("--actor.lr_scheduler", "constant")
    writer.put("--actor.lr_warmup_ratio", 0.0)
    writer.put("--actor.max_norm", settings.max_grad_norm or NEVER, "ppo.max_grad_norm")
    writer.put("--actor.eps_clip", settings.clip, "ppo.clip")
    if settings.dual_clip:
        writer.put("--actor.dual_clip", settings.dual_clip, "ppo.dual_clip")
    writer.put("--critic.value_clip", settings.value_clip or NEVER, "ppo.value_clip")
    average = "token-mean" if facts.average == "token" else "seq-mean-token-mean"
    writer.put("--actor.loss_agg_mode", average, "ppo.average")
    writer.put("--train.batch_size", settings.episodes // settings.minibatches, "ppo.episodes / ppo.minibatches")
    writer.put("--train.micro_batch_size", _micro(facts), "ppo.micro_batch")
    writer.put("--train.max_epochs", settings.epochs, "ppo.epochs")
    # The service has bounded the score already; a second bound would cut off the penalty for not ending.
    writer.put("--reward.clip_range", f"{-NEVER!r} {NEVER!r}")


def _kl(writer: SpecWriter, facts: Facts) -> None:
    settings = facts.ppo
    writer.put("--algo.kl.init_coef", settings.kl_coefficient, "ppo.kl_coefficient")
    if settings.kl_in == "loss":
        writer.switch("--algo.kl.use_loss", "ppo.kl_in")
    writer.put("--algo.kl.estimator", "k3" if settings.kl_in == "loss" else "k1", "ppo.kl_in")
    if settings.kl_target and settings.kl_coefficient and settings.kl_in == "reward":
        writer.put("--algo.kl.target", round(facts.kl_target_a_token, 6), "ppo.kl_target / tokens a response")
        writer.put("--algo.kl.horizon", round(settings.kl_horizon), "ppo.kl_horizon")


def _machines(writer: SpecWriter, facts: Facts) -> None:
    if facts.model.train == "lora":
        writer.put("--ds.lora.rank", facts.model.lora_rank, "model.lora_rank")
        writer.put("--ds.lora.alpha", round(facts.model.lora_alpha), "model.lora_alpha")
    for role in ("actor", "ref", "critic"):
        writer.put(f"--{role}.num_nodes", 1)
        writer.put(f"--{role}.num_gpus_per_node", "${GPUS}")
    writer.put("--vllm.num_engines", "${GPUS}")
    writer.put("--vllm.tensor_parallel_size", 1)
    writer.put("--vllm.gpu_memory_utilization", 0.5)
    writer.switch("--train.colocate_all")
    writer.switch("--vllm.enable_sleep")
    writer.switch("--ds.enable_sleep")


def _micro(facts: Facts) -> int:
    """Responses in memory at once; must divide a minibatch."""
    return math.gcd(facts.ppo.episodes // facts.ppo.minibatches, facts.ppo.micro_batch)


def _gaps(facts: Facts) -> tuple[Missing, ...]:
    settings, found = facts.ppo, []
    rounds = facts.passes * (facts.train_prompts * facts.repeats // facts.prompts_a_round)
    if rounds != settings.updates:
        what = f"its length is whole passes over the prompts: about {rounds} rounds"
        found.append(Missing("ppo.updates", str(settings.updates), what))
    if settings.value_coefficient != 1.0:
        what = "value and policy have optimizers of their own; a factor on the value loss has no effect there"
        found.append(Missing("ppo.value_coefficient", str(settings.value_coefficient), what))
    clamp = "log ratios are cut at 10 nats a token before they become a penalty"
    found.append(Missing("ppo.kl_coefficient", str(settings.kl_coefficient), clamp))
    return tuple(found)
