"""Our recipe as overrides of verl's `main_ppo`; every key stands in the configuration of the version named here."""

import math

from backstay.learn.run_specs.gaps import common_gaps
from backstay.learn.run_specs.spec import NEVER, Facts, Missing, RunSpec, SpecWriter

VERL_VERSION = "0.9.1"
ESTIMATORS = {"ppo": "gae", "rloo": "rloo", "grpo": "grpo", "reinforce++": "reinforce_plus_plus"}
ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"


def verl_spec(facts: Facts) -> RunSpec:
    """Overrides; paths are relative to the folder of the spec, `${GPUS}` is the shell's."""
    writer = SpecWriter()
    _data(writer, facts)
    _model(writer, facts)
    _policy(writer, facts)
    _kl(writer, facts)
    _critic(writer, facts)
    _run(writer, facts)
    return RunSpec(writer.options, writer.comes_from, (*common_gaps(facts), *_gaps(facts)))


def _data(writer: SpecWriter, facts: Facts) -> None:
    writer.put("data.train_files", "${HERE}/prompts/train.parquet")
    writer.put("data.val_files", "${HERE}/prompts/heldout.parquet")
    writer.put("data.prompt_key", "prompt")
    writer.put("data.train_batch_size", facts.prompts_a_round, "ppo.episodes / ppo.group")
    writer.put("data.max_prompt_length", facts.model.max_prompt_tokens, "model.max_prompt_tokens")
    writer.put("data.max_response_length", facts.ppo.max_new_tokens, "ppo.max_new_tokens")
    writer.put("data.seed", facts.ppo.seed, "ppo.seed")
    writer.put("data.truncation", "error")
    writer.put("reward.custom_reward_function.path", "${HERE}/reward.py")
    writer.put("reward.custom_reward_function.name", "compute_score")
    writer.put("reward.reward_manager.name", "naive")


def _model(writer: SpecWriter, facts: Facts) -> None:
    writer.put("actor_rollout_ref.model.path", "${HERE}/reference")
    if facts.model.train == "lora":
        writer.put("actor_rollout_ref.model.lora_rank", facts.model.lora_rank, "model.lora_rank")
        writer.put("actor_rollout_ref.model.lora_alpha", round(facts.model.lora_alpha), "model.lora_alpha")
        writer.put("actor_rollout_ref.model.target_modules", "all-linear")
        writer.put(f"{ROLLOUT}.load_format", "safetensors")
    writer.put(f"{ROLLOUT}.name", "vllm")
    writer.put(f"{ROLLOUT}.temperature", facts.ppo.temperature, "ppo.temperature")
    writer.put(f"{ROLLOUT}.n", facts.ppo.group, "ppo.group")
    writer.put(f"{ROLLOUT}.seed", facts.ppo.seed + 1, "ppo.seed")
    writer.put(f"{ROLLOUT}.tensor_model_parallel_size", 1)
    writer.put(f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu", _micro(facts), "ppo.micro_batch")
    writer.put("actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu", _micro(facts), "ppo.micro_batch")


def _policy(writer: SpecWriter, facts: Facts) -> None:
    settings = facts.ppo
    writer.put("algorithm.adv_estimator", ESTIMATORS[settings.algorithm], "ppo.algorithm")
    writer.put("algorithm.gamma", settings.gamma, "ppo.gamma")
    writer.put("algorithm.lam", settings.lam, "ppo.lam")
    writer.put(f"{ACTOR}.optim.lr", settings.learning_rate, "ppo.learning_rate")
    writer.put(f"{ACTOR}.optim.weight_decay", 0.0)
    writer.put(f"{ACTOR}.optim.lr_scheduler_type", "constant")
    writer.put(f"{ACTOR}.optim.clip_grad", settings.max_grad_norm or NEVER, "ppo.max_grad_norm")
    writer.put(f"{ACTOR}.grad_clip", settings.max_grad_norm or NEVER, "ppo.max_grad_norm")
    writer.put(f"{ACTOR}.ppo_mini_batch_size", _mini(facts), "ppo.episodes / ppo.group / ppo.minibatches")
    writer.put(f"{ACTOR}.ppo_micro_batch_size_per_gpu", _micro(facts), "ppo.micro_batch")
    writer.put(f"{ACTOR}.ppo_epochs", settings.epochs, "ppo.epochs")
    writer.put(f"{ACTOR}.shuffle", True)
    writer.put(f"{ACTOR}.data_loader_seed", settings.seed, "ppo.seed")
    for name in ("clip_ratio", "clip_ratio_low", "clip_ratio_high"):
        writer.put(f"{ACTOR}.{name}", settings.clip, "ppo.clip")
    writer.put(f"{ACTOR}.clip_ratio_c", settings.dual_clip or NEVER, "ppo.dual_clip")
    average = "token-mean" if facts.average == "token" else "seq-mean-token-mean"
    writer.put(f"{ACTOR}.loss_agg_mode", average, "ppo.average")
    writer.put(f"{ACTOR}.entropy_coeff", 0)


def _kl(writer: SpecWriter, facts: Facts) -> None:
    settings = facts.ppo
    in_reward = settings.kl_in == "reward" and settings.kl_coefficient > 0
    in_loss = settings.kl_in == "loss" and settings.kl_coefficient > 0
    writer.put("algorithm.use_kl_in_reward", in_reward, "ppo.kl_in")
    writer.put(f"{ACTOR}.use_kl_loss", in_loss, "ppo.kl_in")
    if in_loss:
        writer.put(f"{ACTOR}.kl_loss_coef", settings.kl_coefficient, "ppo.kl_coefficient")
        writer.put(f"{ACTOR}.kl_loss_type", "low_var_kl", "ppo.kl_in")
    if in_reward:
        writer.put("algorithm.kl_penalty", "kl")
        writer.put("algorithm.kl_ctrl.kl_coef", settings.kl_coefficient, "ppo.kl_coefficient")
        writer.put("algorithm.kl_ctrl.type", "adaptive" if settings.kl_target else "fixed", "ppo.kl_target")
    if in_reward and settings.kl_target:
        writer.put(
            "algorithm.kl_ctrl.target_kl", round(facts.kl_target_a_token, 6), "ppo.kl_target / tokens a response"
        )
        writer.put("algorithm.kl_ctrl.horizon", round(settings.kl_horizon), "ppo.kl_horizon")


def _critic(writer: SpecWriter, facts: Facts) -> None:
    if facts.ppo.algorithm != "ppo":
        return
    writer.put("critic.model.path", "${HERE}/reference")
    writer.put("critic.ppo_micro_batch_size_per_gpu", _micro(facts), "ppo.micro_batch")
    writer.put("critic.ppo_epochs", facts.ppo.epochs, "ppo.epochs")
    writer.put("critic.cliprange_value", facts.ppo.value_clip or NEVER, "ppo.value_clip")


def _run(writer: SpecWriter, facts: Facts) -> None:
    writer.put("trainer.total_training_steps", facts.ppo.updates, "ppo.updates")
    writer.put("trainer.total_epochs", facts.passes, "ppo.updates")
    writer.put("trainer.nnodes", 1)
    writer.put("trainer.n_gpus_per_node", "${GPUS}")
    writer.put("trainer.save_freq", facts.ppo.updates, "ppo.updates")
    writer.put("trainer.test_freq", -1)
    writer.put("trainer.val_before_train", False)
    writer.put("trainer.logger", '["console"]')
    writer.put("trainer.project_name", "backstay")
    writer.put("trainer.experiment_name", "${NAME}")
    writer.put("trainer.default_local_dir", "${HERE}/checkpoints")


def _mini(facts: Facts) -> int:
    """Prompts a minibatch: verl counts prompts, and multiplies by the group itself."""
    return max(1, facts.prompts_a_round // facts.ppo.minibatches)


def _micro(facts: Facts) -> int:
    """Responses in memory at once; must divide a minibatch."""
    return math.gcd(_mini(facts) * facts.ppo.group, facts.ppo.micro_batch)


def _gaps(facts: Facts) -> tuple[Missing, ...]:
    settings, found = facts.ppo, []
    if settings.no_eos_penalty:
        what = "the stop token does not reach the service: a response as long as ppo.max_new_tokens counts as not ended"
        found.append(Missing("ppo.no_eos_penalty", str(settings.no_eos_penalty), what))
    if settings.value_coefficient != 1.0:
        what = "value and policy have optimizers of their own; a factor on the value loss has no effect there"
        found.append(Missing("ppo.value_coefficient", str(settings.value_coefficient), what))
    if _mini(facts) * settings.minibatches != facts.prompts_a_round:
        what = f"a minibatch is whole prompts there: {_mini(facts)} prompts of {settings.group} responses"
        found.append(Missing("ppo.minibatches", str(settings.minibatches), what))
    return tuple(found)
