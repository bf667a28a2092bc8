"""What a round shows of the policy: metrics, samples, monitors and the probe of proxy against gold."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from backstay.learn.advantage import explained_variance
from backstay.learn.batches import shuffled
from backstay.learn.models.decoder import Decoder
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import branch_under
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.rl.alarm import Alarm, Monitored
from backstay.learn.rl.divergence import Probe
from backstay.learn.rl.lagrangian import Multiplier
from backstay.learn.rl.monitors import Novelty, repetition
from backstay.learn.rl.rollouts import Experience
from backstay.learn.rl.scorers import Scorer
from backstay.learn.scalar_models import RESPONSE_PARTS, pooled
from backstay.storage import RunFolder

SAMPLES_A_KIND = 2

Gold = Callable[[int, str, bool], float]
Refuses = Callable[[str], bool]
Play = Callable[[Sequence[int], torch.Generator], Experience]
Row = dict[str, Any]


class Watch:
    """Looks at every round and changes nothing but the alarm's memory.

    `gold(prompt_index, text, finished)` is a score that no reward contains; without one the mean of `held_out` members
    takes its place, less `unseen_baseline` of the prompt.
    """

    def __init__(
        self,
        model: LanguageModel,
        settings: PpoSettings,
        *,
        prompts: int,
        unseen_baseline: Sequence[float],
        held_out: Sequence[Scorer],
        scoring: Decoder,
        gold: Gold | None,
        refuses: Refuses | None,
    ) -> None:
        self.model, self.settings, self.unseen_baseline = model, settings, unseen_baseline
        self.held_out, self.scoring, self.gold, self.refuses = held_out, scoring, gold, refuses
        self.last = Compared((), (), None)
        self.novelty = Novelty(settings.episodes, RESPONSE_PARTS * model.decoder.hidden_size)
        self.alarm = Alarm(settings)
        order = shuffled(prompts, torch.Generator().manual_seed(settings.seed + 2_000_003))
        self.probing = sorted(order[: settings.probe_prompts])
        self.training = sorted(order[settings.probe_prompts :])

    def measure(self, update: int, chosen: Sequence[int], experience: Experience, texts: Sequence[str]) -> Row:
        """The round's metrics, before anything is learned from it."""
        valid, rollout = experience.valid_B, experience.rollout
        self.last = self._compare(chosen, experience, texts)
        row = {
            "update": update,
            "updates": self.settings.updates,
            "gold_mean": self.last.gold,
            "reward_mean": self.last.proxy,
            "kl_nats": experience.kl_nats,
            "reward_raw_mean": float(experience.raw_M_B.mean(0)[valid].mean()),
            "reward_spread": float(experience.spread_B[valid].mean()),
            "episodes": len(experience.score_B),
            "failed_scores": int((~valid).sum()),
            "entropy": float(-rollout.logprob_B_R[experience.mask_B_R].mean()),
            "response_tokens": float(rollout.dialogues.response_B.float().mean()),
            "finished_share": float(rollout.finished_B.float().mean()),
            "repetition": mean([repetition(tokens) for tokens in rollout.responses()]),
            "refusal_share": mean([float(self.refuses(text)) for text in texts]) if self.refuses else None,
            "novelty": self._novel(update, experience),
        }
        for name, values in experience.values.items():
            explained = explained_variance(values.value_B_R1[:, :-1], values.return_B_R, experience.learned_B_R)
            row[f"{name}_explained_variance"] = explained
        if len(experience.cost_M_B):
            row["cost_mean"] = float(experience.cost_M_B.mean(0)[valid].mean())
        return row

    def judge(
        self, update: int, row: Row, play: Play, multiplier: Multiplier | None
    ) -> tuple[dict[str, str], list[str]]:
        """Monitors over their limit in this round, and the reasons of an alarm; adds the probe to `row`."""
        probe = self._probe(update, row, play)
        seen = Monitored(
            response_tokens=row["response_tokens"],
            repetition=row["repetition"],
            refusal=row["refusal_share"] or 0.0,
            spread=row["reward_spread"] if math.isfinite(row["reward_spread"]) else 0.0,
            novelty=row["novelty"],
            multiplier_pinned=multiplier is not None and multiplier.pinned,
        )
        over = self.alarm.update(seen, probe)
        reasons = self.alarm.reasons(over)
        if reasons:
            self.alarm.history.append(f"after update {update}: {'; '.join(reasons)}")
        row |= {"over": ", ".join(sorted(over)), "alarm": "; ".join(reasons)}
        return over, reasons

    def write_samples(
        self, folder: RunFolder, update: int, chosen: Sequence[int], experience: Experience, texts: Sequence[str]
    ) -> None:
        """The best and the worst scored responses of the round, and its first ones, which chance has chosen."""
        scores = experience.score_B.tolist()
        ranked = sorted(torch.nonzero(experience.valid_B)[:, 0].tolist(), key=lambda row: (-scores[row], row))
        picked = {"top": ranked[:SAMPLES_A_KIND], "bottom": ranked[::-1][:SAMPLES_A_KIND]}
        picked["random"] = list(range(min(SAMPLES_A_KIND, len(scores))))
        for kind, rows in picked.items():
            for row in rows:
                score = scores[row] if experience.valid_B[row] else None
                folder.sample(
                    {"update": update, "kind": kind, "prompt": chosen[row], "text": texts[row], "score": score}
                )

    def texts(self, experience: Experience) -> list[str]:
        """The responses of a round."""
        return [self.model.decode(tokens) for tokens in experience.rollout.responses()]

    def _novel(self, update: int, experience: Experience) -> float:
        """Share of outliers, measured against the first round, which the reference itself made."""
        states = pooled(experience.rollout.branch_B_T_D, experience.rollout.dialogues)[
            :, : self.novelty.reference.shape[1]
        ]
        if update == 0:
            self.novelty.fit(states)
            return 0.0
        return self.novelty.share(states)

    def _probe(self, update: int, row: Row, play: Play) -> Probe | None:
        """Proxy and gold on the probe prompts, or of the round itself; None where there is no gold or no turn."""
        if update % self.settings.probe_every:
            return None
        found = self.last
        if self.probing:
            chosen = [index for index in self.probing for _ in range(self.settings.group)]
            experience = play(chosen, torch.Generator().manual_seed(self.settings.seed * 1_000_003 + update))
            found = self._compare(chosen, experience, self.texts(experience))
            row |= {"probe_proxy": found.proxy, "probe_gold": found.gold}
        return found.probe()

    def _compare(self, chosen: Sequence[int], experience: Experience, texts: Sequence[str]) -> "Compared":
        """Training scores and gold of the same responses; without a gold rule, what unseen members say."""
        proxy = experience.score_B.masked_fill(~experience.valid_B, math.nan).tolist()
        finished = experience.rollout.finished_B.tolist()
        if self.gold is not None:
            gold = [self.gold(i, text, end) for i, text, end in zip(chosen, texts, finished, strict=True)]
        elif self.held_out:
            gold = self._unseen_scores(chosen, experience)
        else:
            return Compared(chosen, proxy, None)
        both = [math.nan if math.isnan(p) else g for p, g in zip(proxy, gold, strict=True)]
        return Compared(chosen, proxy, both)

    @torch.no_grad()
    def _unseen_scores(self, chosen: Sequence[int], experience: Experience) -> list[float]:
        dialogues = experience.rollout.dialogues
        branch = branch_under(self.scoring, dialogues, experience.rollout.branch_B_T_D, ())
        scores = torch.stack([member(self.scoring, dialogues, branch) for member in self.held_out]).mean(0)
        above = scores.new_tensor([self.unseen_baseline[index] for index in chosen])
        found: list[float] = (scores - above).tolist()
        return found


class Compared:
    """Proxy and gold of the same responses: their means, and how sure those are; NaN is no score."""

    def __init__(self, chosen: Sequence[int], proxy: Sequence[float], gold: Sequence[float] | None) -> None:
        self.proxy, self.proxy_error = mean_and_error(chosen, proxy)
        self.gold: float | None = None
        self.gold_error = 0.0
        if gold is not None:
            self.gold, self.gold_error = mean_and_error(chosen, gold)

    def probe(self) -> Probe | None:
        """The same as a probe; None where there is no gold, or no score."""
        if self.gold is None or not math.isfinite(self.proxy + self.gold):
            return None
        return Probe(self.proxy, self.gold, self.proxy_error, self.gold_error)


def mean_and_error(prompt_of: Sequence[int], values: Sequence[float]) -> tuple[float, float]:
    """Mean of the numbers that are none NaN, and its standard error over prompts, whose responses are no strangers.

    The error is 0 with fewer than two prompts, and the mean NaN without any number.
    """
    by_prompt: dict[int, list[float]] = {}
    for prompt, value in zip(prompt_of, values, strict=True):
        if not math.isnan(value):
            by_prompt.setdefault(prompt, []).append(value)
    known = [value for group in by_prompt.values() for value in group]
    if not known:
        return math.nan, 0.0
    centre = mean(known)
    if len(by_prompt) < 2:
        return centre, 0.0
    groups = len(by_prompt)
    squares = sum(sum(value - centre for value in group) ** 2 for group in by_prompt.values())
    return centre, math.sqrt(squares * groups / (groups - 1)) / len(known)


def mean(values: Sequence[float]) -> float:
    """The mean, 0 of nothing."""
    return sum(values) / len(values) if values else 0.0
