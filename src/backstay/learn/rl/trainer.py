"""The PPO loop: rollouts, learning, the KL safeguards, and a state that resumes exactly."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from backstay.learn.advantage import explained_variance
from backstay.learn.batches import shuffled
from backstay.learn.kl import next_coefficient
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.decoder import Adapters, Decoder
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import new_adapter
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.rl.learning import Learner
from backstay.learn.rl.rollouts import Experience, collect
from backstay.learn.rl.scorers import Scorer
from backstay.learn.scalar_models import ValueModel
from backstay.learn.settings import ModelSettings
from backstay.learn.training_state import TrainingState, adamw
from backstay.storage import RunFolder

VALUE_WIDTH = 128
SAMPLES_A_ROUND = 4

Monitor = Callable[[int, str, bool], float]


@dataclass(frozen=True)
class PpoResult:
    """The trained policy, why training ended (`completed` or `kl_budget`), its measured KL in nats a response."""

    policy: Adapter
    value: ValueModel
    reason: str
    updates: int
    kl_nats: float


class PpoTrainer:
    """PPO on prompts given as tokens, with one score `baseline` a prompt (default: 0).

    The reference is folded into the weights above the branch, so that the policy's adapter is the only one that runs.

    `monitor(prompt_index, text, finished)` is a score to watch that training never uses, such as a gold rule.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompts: Sequence[Sequence[int]],
        *,
        reference: Adapters,
        members: Sequence[Scorer],
        baseline: Sequence[float] | None = None,
        shape: ModelSettings,
        settings: PpoSettings,
        folder: RunFolder,
        monitor: Monitor | None = None,
    ) -> None:
        self.scoring = model.decoder
        if isinstance(model.decoder, Decoder):
            model, reference = replace(model, decoder=model.decoder.merged(reference)), ()
        self.model, self.prompts, self.members, self.settings = model, prompts, members, settings
        self.reference, self.folder, self.monitor = reference, folder, monitor
        self.baseline = list(baseline) if baseline is not None else [0.0] * len(prompts)
        self.random = {"order": torch.Generator().manual_seed(settings.seed)}
        self.random["sampling"] = torch.Generator().manual_seed(settings.seed + 1_000_003)
        order = self.random["order"]
        self.policy = new_adapter(model.decoder, shape, "policy", reference, order)
        self.good = copy.deepcopy(self.policy).requires_grad_(False)
        self.value = ValueModel(model.decoder.hidden_size, VALUE_WIDTH, order).to(model.device)
        optimizers = (adamw([self.policy], settings.learning_rate), adamw([self.value], settings.value_learning_rate))
        self.learner = Learner(model, reference, self.policy, self.value, optimizers, settings)
        modules = {"policy": self.policy, "good": self.good, "value": self.value}
        named = {"policy": optimizers[0], "value": optimizers[1]}
        self.state = TrainingState(modules, named, self.random)
        self.kl_coefficient = settings.kl_coefficient
        self.queue: list[int] = []
        self.good_kl = 0.0

    def run(self) -> PpoResult:
        """Train to the end, or to the KL budget. The last round only measures, so that no unmeasured policy leaves."""
        resumed = self.state.resume(self.folder)
        done = 0 if resumed is None else self._restore(*resumed)
        for update in range(done, self.settings.updates + 1):
            started = time.perf_counter()
            chosen = self._next_prompts()
            experience = self._collect(chosen)
            sampled = time.perf_counter()
            if self._over_budget(experience):
                self._log(update, chosen, experience, [{"rolled_back": 1.0}])
                self.policy.load_state_dict(self.good.state_dict())
                return PpoResult(self.policy, self.value, "kl_budget", update, self.good_kl)
            self._remember(experience)
            learning = update < self.settings.updates
            steps = self.learner.update(experience, self.random["order"]) if learning else []
            self._log(update, chosen, experience, steps)
            self._adapt(experience)
            self.folder.timing(
                {"update": update, "rollout_s": sampled - started, "learn_s": time.perf_counter() - sampled}
            )
            if learning and (update + 1) % self.settings.checkpoint_every == 0:
                self.state.save(self.folder, update + 1, self._numbers())
        return PpoResult(self.policy, self.value, "completed", self.settings.updates, self.good_kl)

    def _collect(self, chosen: Sequence[int]) -> Experience:
        return collect(
            self.model,
            [self.prompts[index] for index in chosen],
            policy=(*self.reference, self.policy),
            reference=self.reference,
            members=self.members,
            value=self.value,
            baseline=[self.baseline[index] for index in chosen],
            settings=self.settings,
            kl_coefficient=self.kl_coefficient,
            generator=self.random["sampling"],
            scoring=self.scoring,
        )

    def _next_prompts(self) -> list[int]:
        while len(self.queue) < self.settings.episodes:
            self.queue += shuffled(len(self.prompts), self.random["order"])
        chosen, self.queue = self.queue[: self.settings.episodes], self.queue[self.settings.episodes :]
        return chosen

    def _over_budget(self, experience: Experience) -> bool:
        return 0 < self.settings.kl_budget < experience.kl_nats

    def _remember(self, experience: Experience) -> None:
        self.good.load_state_dict(self.policy.state_dict())
        self.good_kl = experience.kl_nats

    def _adapt(self, experience: Experience) -> None:
        self.kl_coefficient = next_coefficient(
            self.kl_coefficient,
            experience.kl_nats,
            target=self.settings.kl_target,
            horizon=self.settings.kl_horizon,
            episodes=self.settings.episodes,
        )

    def _numbers(self) -> dict[str, Any]:
        return {"queue": self.queue, "kl_coefficient": self.kl_coefficient, "good_kl": self.good_kl}

    def _restore(self, step: int, numbers: dict[str, Any]) -> int:
        self.queue = [int(index) for index in numbers["queue"]]
        self.kl_coefficient, self.good_kl = float(numbers["kl_coefficient"]), float(numbers["good_kl"])
        return step

    def _log(
        self, update: int, chosen: Sequence[int], experience: Experience, steps: Sequence[dict[str, float]]
    ) -> None:
        texts = self._texts(experience)
        finished = [bool(x) for x in experience.rollout.finished_B]
        watched = None
        if self.monitor is not None:
            scores = [self.monitor(i, text, end) for i, text, end in zip(chosen, texts, finished, strict=True)]
            watched = sum(scores) / len(scores)
        self.folder.metrics(
            {"update": update, "updates": self.settings.updates, "gold_mean": watched}
            | self._round_means(experience)
            | _step_means(steps)
        )
        for index, text in list(zip(chosen, texts, strict=True))[:SAMPLES_A_ROUND]:
            self.folder.sample({"update": update, "prompt": index, "text": text})

    def _texts(self, experience: Experience) -> list[str]:
        return [self.model.decode(tokens) for tokens in experience.rollout.responses()]

    def _round_means(self, experience: Experience) -> dict[str, float]:
        mask, dialogues = experience.mask_B_R, experience.rollout.dialogues
        values = experience.value_B_R1[:, :-1]
        return {
            "episodes": len(experience.score_B),
            "reward_mean": float(experience.score_B.mean()),
            "reward_raw_mean": float(experience.raw_score_B.mean()),
            "reward_spread": float(experience.spread_B.mean()),
            "kl_nats": experience.kl_nats,
            "kl_coefficient": self.kl_coefficient,
            "entropy": float(-experience.rollout.logprob_B_R[mask].mean()),
            "value_explained_variance": explained_variance(values, experience.return_B_R, mask),
            "response_tokens": float(dialogues.response_B.float().mean()),
            "finished_share": float(experience.rollout.finished_B.float().mean()),
        }


def _step_means(steps: Sequence[dict[str, float]]) -> dict[str, float]:
    if not steps:
        return {}
    means = {name: sum(step[name] for step in steps) / len(steps) for name in steps[0] if name != "ratio"}
    if "ratio" not in steps[0]:
        return means
    first = {"ratio_first": steps[0]["ratio"], "approx_kl_first": steps[0]["approx_kl"]}
    return means | first | {"optimizer_steps": len(steps)}
