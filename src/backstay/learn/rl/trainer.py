"""The loop of on-policy training: rollouts, learning, safeguards, and a state that resumes exactly."""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from backstay.errors import UsageError
from backstay.learn.batches import shuffled
from backstay.learn.kl import next_coefficient
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.decoder import Adapters, Decoder
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import new_adapter
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.rl.algorithms import ALGORITHMS
from backstay.learn.rl.critics import RewardCritic, TrunkCritic
from backstay.learn.rl.demonstrations import MixedDemonstrations
from backstay.learn.rl.lagrangian import Multiplier
from backstay.learn.rl.learning import Learner
from backstay.learn.rl.requirements import require_trainable
from backstay.learn.rl.rewards import pessimistic_cost, require_scores, split_references
from backstay.learn.rl.rollouts import COST, REWARD, Actors, Experience, collect
from backstay.learn.rl.scorers import Scorer
from backstay.learn.rl.watch import Gold, Refuses, Watch
from backstay.learn.scalar_models import RewardMember, ValueModel
from backstay.learn.settings import ModelSettings
from backstay.learn.sft import Lesson
from backstay.learn.training_state import TrainingState, adamw, linear_decay
from backstay.storage import RunFolder

VALUE_WIDTH = 128


@dataclass(frozen=True)
class PolicyResult:
    """The trained policy, its critics, and why training ended: `completed`, `kl_budget` or `alarm`.

    `kl_nats` is what was measured of the policy that leaves, in nats a response; `alarms` says when the alarm was on
    and why, also where it only warned.
    """

    policy: Adapter
    critics: dict[str, nn.Module]
    reason: str
    updates: int
    kl_nats: float
    alarms: tuple[str, ...] = ()


class PolicyTrainer:
    """On-policy training on prompts given as tokens.

    The reference is folded into the weights above the branch, so that the policy's adapter is the only one that runs.

    `references` are every member's scores of reference responses to each prompt (default: one response, all 0). `costs`
    are needed for a constraint, and `lessons` for mixing in demonstrations. `gold(prompt_index, text, finished)` is a
    score that no reward contains: it can end training and choose what a rollback goes back to. `refuses(text)` tells a
    refusal.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompts: Sequence[Sequence[int]],
        *,
        reference: Adapters,
        members: Sequence[Scorer],
        shape: ModelSettings,
        settings: PpoSettings,
        folder: RunFolder,
        references: Sequence[Sequence[Sequence[float]]] | None = None,
        costs: Sequence[Scorer] = (),
        lessons: Sequence[Lesson] = (),
        gold: Gold | None = None,
        refuses: Refuses | None = None,
    ) -> None:
        scoring = model.decoder
        if isinstance(model.decoder, Decoder):
            model, reference = replace(model, decoder=model.decoder.merged(reference)), ()
        require_trainable(model, prompts, members, costs, lessons, references, settings)
        self.model, self.prompts, self.settings, self.folder = model, prompts, settings, folder
        held = len(members) - settings.held_out_members
        self.references, unseen_baseline = split_references(references, len(prompts), held, settings)
        self.random = {"order": torch.Generator().manual_seed(settings.seed)}
        self.random["sampling"] = torch.Generator().manual_seed(settings.seed + 1_000_003)
        order = self.random["order"]
        self.policy = new_adapter(model.decoder, shape, "policy", reference, order)
        self.good = copy.deepcopy(self.policy).requires_grad_(False)
        self.actors = Actors(model, (*reference, self.policy), reference, members[:held], scoring)
        if settings.cost_threshold is not None:
            self.actors = replace(self.actors, costs=costs)
        self.critics = self._new_critics(order)
        self.actors = replace(self.actors, critics=self.critics)
        self.watch = Watch(
            model,
            settings,
            prompts=len(prompts),
            unseen_baseline=unseen_baseline,
            held_out=members[held:],
            scoring=scoring,
            gold=gold,
            refuses=refuses,
        )
        self.multiplier = _multiplier(settings)
        self.learner = self._new_learner(lessons)
        modules = {"policy": self.policy, "good": self.good, "novelty": self.watch.novelty, **self.critics}
        self.state = TrainingState(modules, self.learner.optimizers, self.random)
        self.kl_coefficient = settings.kl_coefficient
        self.queue: list[int] = []
        self.good_kl = 0.0

    def run(self) -> PolicyResult:
        """Train to the end, the KL budget or an alarm.

        The last round only measures, so that no policy leaves unmeasured.
        """
        resumed = self.state.resume(self.folder)
        done = 0 if resumed is None else self._restore(*resumed)
        ended = None
        while ended is None:
            ended = self._round(done)
            done += 1
        return ended

    def _round(self, update: int) -> PolicyResult | None:
        """One rollout, its checks, and one update of the weights; the result if training ends here."""
        started = time.perf_counter()
        chosen = self._next_prompts()
        experience = self._collect(chosen, self.random["sampling"])
        sampled = time.perf_counter()
        require_scores(experience.valid_B, self.settings)
        texts = self.watch.texts(experience)
        row = self.watch.measure(update, chosen, experience, texts) | self._prices()
        self.watch.write_samples(self.folder, update, chosen, experience, texts)
        if math.isnan(experience.kl_nats) or 0 < self.settings.kl_budget < experience.kl_nats:
            self.folder.metrics(row | {"rolled_back": 1.0})
            return self._rolled_back("kl_budget", update)
        over, reasons = self.watch.judge(update, row, self._collect, self.multiplier)
        ends = bool(reasons) and self.settings.on_alarm != "warn"
        if self.watch.alarm.at_its_best and (not over or self.settings.on_alarm == "warn"):
            self.good.load_state_dict(self.policy.state_dict())
            self.good_kl = experience.kl_nats
        learning = update < self.settings.updates and not ends
        self.learner.kl_coefficient = self.kl_coefficient
        self._set_rates(update)
        steps = self.learner.update(experience, self.random["order"]) if learning else []
        back = ends and self.settings.on_alarm == "rollback"
        self.folder.metrics(row | _step_means(steps) | ({"rolled_back": 1.0} if back else {}))
        if back:
            return self._rolled_back("alarm", update)
        if ends or update == self.settings.updates:
            reason = "alarm" if ends else "completed"
            return self._result(reason, update, experience.kl_nats)
        self._adapt(experience)
        self.folder.timing({"update": update, "rollout_s": sampled - started, "learn_s": time.perf_counter() - sampled})
        if (update + 1) % self.settings.checkpoint_every == 0:
            self.state.save(self.folder, update + 1, self._numbers())
        return None

    def _prices(self) -> dict[str, float]:
        """The weights of KL and cost in this round."""
        cost = {} if self.multiplier is None else {"multiplier": self.multiplier.value}
        return {"kl_coefficient": self.kl_coefficient, **cost}

    def _rolled_back(self, reason: str, update: int) -> PolicyResult:
        self.policy.load_state_dict(self.good.state_dict())
        return self._result(reason, update, self.good_kl)

    def _result(self, reason: str, update: int, kl_nats: float) -> PolicyResult:
        return PolicyResult(self.policy, self.critics, reason, update, kl_nats, tuple(self.watch.alarm.history))

    def _new_critics(self, generator: torch.Generator) -> dict[str, nn.Module]:
        if not ALGORITHMS[self.settings.algorithm].critic:
            return {}
        starts = {REWARD: self.actors.members[0]} | ({COST: self.actors.costs[0]} if self.actors.costs else {})
        return {name: self._new_critic(start, generator) for name, start in starts.items()}

    def _new_critic(self, start: Scorer, generator: torch.Generator) -> nn.Module:
        if self.settings.critic == "trunk":
            width = self.actors.scoring.hidden_size
            return TrunkCritic(ValueModel(width, VALUE_WIDTH, generator)).to(self.model.device)
        if not isinstance(start, RewardMember):
            raise UsageError(
                "ppo.critic is reward, but the reward is no model that a critic could start from",
                cure="set ppo.critic=trunk",
            )
        return RewardCritic(start)

    def _new_learner(self, lessons: Sequence[Lesson]) -> Learner:
        settings = self.settings
        optimizers = {"policy": adamw([self.policy], settings.learning_rate)}
        optimizers |= {name: adamw([c], settings.value_learning_rate) for name, c in self.critics.items()}
        mixed = MixedDemonstrations(self.model, lessons) if settings.ptx_coefficient else None
        return Learner(
            self.model,
            self.actors.reference,
            self.policy,
            self.critics,
            optimizers,
            settings,
            scoring=self.actors.scoring,
            demonstrations=mixed,
        )

    def _collect(self, chosen: Sequence[int], generator: torch.Generator) -> Experience:
        return collect(
            self.actors,
            [self.prompts[index] for index in chosen],
            references=[self.references[index] for index in chosen],
            settings=self.settings,
            kl_coefficient=self.kl_coefficient,
            multiplier=0.0 if self.multiplier is None else self.multiplier.value,
            generator=generator,
        )

    def _next_prompts(self) -> list[int]:
        """The round's prompts, each as often in a row as a group is large."""
        wanted = self.settings.episodes // self.settings.group
        while len(self.queue) < wanted:
            self.queue += [self.watch.training[i] for i in shuffled(len(self.watch.training), self.random["order"])]
        chosen, self.queue = self.queue[:wanted], self.queue[wanted:]
        return [index for index in chosen for _ in range(self.settings.group)]

    def _set_rates(self, update: int) -> None:
        settings = self.settings
        done = update / settings.updates if settings.decay == "linear" else 0.0
        for name, optimizer in self.learner.optimizers.items():
            peak = settings.learning_rate if name == "policy" else settings.value_learning_rate
            linear_decay(optimizer, peak, done)

    def _adapt(self, experience: Experience) -> None:
        self.kl_coefficient = next_coefficient(
            self.kl_coefficient,
            experience.kl_nats,
            target=self.settings.kl_target,
            horizon=self.settings.kl_horizon,
            episodes=self.settings.episodes,
        )
        if self.multiplier is not None:
            cost = pessimistic_cost(experience.cost_M_B, self.settings)
            self.multiplier.update(cost[experience.valid_B].tolist())

    def _numbers(self) -> dict[str, Any]:
        return {
            "queue": self.queue,
            "ptx_queue": self.learner.ptx_queue,
            "broken_steps": self.learner.broken_steps,
            "kl_coefficient": self.kl_coefficient,
            "good_kl": self.good_kl,
            "alarm": self.watch.alarm.numbers(),
            "multiplier": None if self.multiplier is None else self.multiplier.numbers(),
        }

    def _restore(self, step: int, numbers: dict[str, Any]) -> int:
        self.queue = [int(index) for index in numbers["queue"]]
        self.learner.ptx_queue = [int(index) for index in numbers["ptx_queue"]]
        self.learner.broken_steps = int(numbers["broken_steps"])
        self.kl_coefficient, self.good_kl = float(numbers["kl_coefficient"]), float(numbers["good_kl"])
        self.watch.alarm.restore(numbers["alarm"])
        if self.multiplier is not None:
            self.multiplier.restore(numbers["multiplier"])
        return step


def _multiplier(settings: PpoSettings) -> Multiplier | None:
    if settings.cost_threshold is None:
        return None
    return Multiplier(
        initial=settings.multiplier_initial,
        maximum=settings.multiplier_max,
        rate=settings.multiplier_rate,
        gain=settings.multiplier_gain,
        threshold=settings.cost_threshold,
        window=settings.cost_window,
    )


def _step_means(steps: Sequence[dict[str, float]]) -> dict[str, float]:
    if not steps:
        return {}
    means = {name: sum(step[name] for step in steps) / len(steps) for name in steps[0] if name != "ratio"}
    means["skipped_steps"] = sum(step["skipped_steps"] for step in steps)
    first = {"ratio_first": steps[0]["ratio"], "approx_kl_first": steps[0]["approx_kl"]}
    return means | first | {"optimizer_steps": len(steps)}
