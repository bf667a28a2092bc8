"""Models that read one number off the shared trunk: members of a reward ensemble, and the value model of PPO."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from backstay.errors import IntegrityError
from backstay.learn.batches import Dialogues
from backstay.learn.models.adapters import Adapter, load_adapter, lora, read_tensors, save_adapter
from backstay.learn.models.decoder import Decoder

INTERACTIONS = 32
OPENING = 4
RESPONSE_PARTS, PROMPT_PARTS = 3, 2


class RewardHead(nn.Module):
    """A score from pooled response states r and prompt states p: w.r + sum_k (U r)_k (V p + c)_k / sqrt K.

    The second, low-rank bilinear term is what lets one answer be right for one prompt and wrong for another: a head
    that is linear in both cannot prefer a refusal here and an answer there.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.sizes = (RESPONSE_PARTS * hidden_size, PROMPT_PARTS * hidden_size)
        self.linear = nn.Linear(self.sizes[0], 1)
        self.response = nn.Linear(self.sizes[0], INTERACTIONS, bias=False)
        self.prompt = nn.Linear(self.sizes[1], INTERACTIONS)

    def initialise(self, generator: torch.Generator) -> None:
        """Weights from N(0, 1/(inputs+1)), biases 0 (Stiennon et al. 2020, appendix B.1 for the linear part)."""
        for layer in (self.linear, self.response, self.prompt):
            with torch.no_grad():
                drawn = torch.randn(layer.weight.shape, generator=generator)
                layer.weight.copy_(drawn / math.sqrt(layer.in_features + 1))
                if layer.bias is not None:
                    layer.bias.zero_()

    def forward(self, features_B_F: Tensor) -> Tensor:
        """Raw scores `[B]` of features `[B, 5D]`: response features, then prompt features."""
        response, prompt = features_B_F[:, : self.sizes[0]], features_B_F[:, self.sizes[0] :]
        meeting = (self.response(response) * self.prompt(prompt)).sum(-1) / math.sqrt(INTERACTIONS)
        score: Tensor = self.linear(response)[:, 0] + meeting
        return score


class RewardMember(nn.Module):
    """One reward model: own LoRA adapter on the first `layers` layers above the branch, own head.

    The head reads the mean over the response, over its opening tokens, and the state at the last one; and mean and
    last state of the prompt.
    `gain` and `bias` bring scores to mean 0 and standard deviation 1 on SFT responses; before that, `slope` takes out
    what a score owes to the log of the response's length.
    """

    gain: Tensor
    bias: Tensor
    slope: Tensor

    def __init__(self, decoder: Decoder, adapter: Adapter | None, layers: int) -> None:
        super().__init__()
        self.layers = layers
        self.adapter = adapter
        self.head = RewardHead(decoder.hidden_size)
        self.register_buffer("gain", torch.ones(()))
        self.register_buffer("bias", torch.zeros(()))
        self.register_buffer("slope", torch.zeros(()))

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """The member's own adapter, if it runs any layer."""
        return () if self.adapter is None else (self.adapter,)

    def features(self, decoder: Decoder, dialogues: Dialogues, branch_B_T_D: Tensor) -> Tensor:
        """What the head reads, `[B, 5D]`."""
        start = decoder.branch_layer
        hidden = decoder.layers(branch_B_T_D, dialogues.mask_B_T, start, start + self.layers, self.adapters)
        return pooled(hidden, dialogues)

    def score(self, features_B_F: Tensor, length_B: Tensor | None = None) -> Tensor:
        """Normalised scores `[B]` of pooled features; without lengths in tokens, what length adds stays in."""
        raw: Tensor = self.head(features_B_F)
        if length_B is not None:
            raw = raw - self.slope * torch.log1p(length_B.to(raw.dtype))
        return self.gain * raw + self.bias

    def forward(self, decoder: Decoder, dialogues: Dialogues, branch_B_T_D: Tensor) -> Tensor:
        """Normalised scores `[B]`."""
        return self.score(self.features(decoder, dialogues, branch_B_T_D), dialogues.response_B)


def new_member(decoder: Decoder, *, layers: int, rank: int, generator: torch.Generator) -> RewardMember:
    """A fresh member; its adapter changes nothing yet.

    With the branch at layer 0, `layers` 0 means all of them: a score read off embeddings alone sees no context.
    """
    above = decoder.architecture.n_layers - decoder.branch_layer
    layers = above if layers == 0 and decoder.branch_layer == 0 else min(layers, above)
    shapes = decoder.lora_shapes(end=decoder.branch_layer + layers)
    adapter = lora("reward", shapes, rank=rank, alpha=2.0 * rank, generator=generator) if layers else None
    member = RewardMember(decoder, adapter, layers)
    member.head.initialise(generator)
    return member.to(decoder.embedding.device)


def pooled(hidden_B_T_D: Tensor, dialogues: Dialogues) -> Tensor:
    """Response mean, opening mean and last state, then prompt mean and last state, each at unit root mean square."""
    width = dialogues.prompt_width
    normed = functional.rms_norm(hidden_B_T_D, hidden_B_T_D.shape[-1:]) * dialogues.mask_B_T[..., None]
    response, prompt = normed[:, width:], normed[:, :width]
    if not response.shape[1]:
        response = response.new_zeros(len(response), 1, response.shape[2])
    length = dialogues.response_B
    row = torch.arange(len(normed), device=normed.device)
    parts = (
        _mean(response, length),
        _mean(response[:, :OPENING], length.clamp(max=OPENING)),
        response[row, (length - 1).clamp(min=0)],
        _mean(prompt, dialogues.prompt_B),
        prompt[:, -1],
    )
    return torch.cat(parts, -1)


def _mean(normed_B_T_D: Tensor, count_B: Tensor) -> Tensor:
    mean = normed_B_T_D.sum(1) / count_B.clamp(min=1)[:, None]
    return functional.rms_norm(mean, mean.shape[-1:])


def normalise(members: Sequence[RewardMember], score_M_B: Tensor) -> None:
    """Set gains and biases so that every member has mean 0, and the ensemble's mean score has deviation 1, on a sample.

    `score_M_B` are the members' scores on that sample with gain 1 and bias 0.
    """
    mean = score_M_B.mean(1, keepdim=True)
    deviation = score_M_B.std(1, keepdim=True, unbiased=False).clamp(min=1e-6)
    standard = (score_M_B - mean) / deviation
    together = standard.mean(0).std(unbiased=False).clamp(min=1e-6)
    for member, m, s in zip(members, mean[:, 0], deviation[:, 0], strict=True):
        member.gain.fill_(float(1 / (s * together)))
        member.bias.fill_(float(-m / (s * together)))


def scale(members: Sequence[RewardMember], score_M_B: Tensor) -> None:
    """Set gains so that every member, on a sample, has one root mean square, and the ensemble's mean score has 1.

    Zero stays where it is: biases remain 0. `score_M_B` are the members' scores on that sample with gain 1.
    """
    size = score_M_B.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)
    together = (score_M_B / size).mean(0).square().mean().sqrt().clamp(min=1e-6)
    for member, s in zip(members, size[:, 0], strict=True):
        member.gain.fill_(float(1 / (s * together)))


def save_member(member: RewardMember, folder: Path, *, base: str, digest: str = "") -> None:
    """Write a member: PEFT adapter, `head.safetensors`, `member.json`; `digest` is that of the base's weights."""
    folder.mkdir(parents=True, exist_ok=True)
    if member.adapter is not None:
        save_adapter(member.adapter, folder, base=base)
    head = {f"head.{name}": tensor.detach().cpu() for name, tensor in member.head.state_dict().items()}
    buffers = {"gain": member.gain.cpu(), "bias": member.bias.cpu(), "slope": member.slope.cpu()}
    save_file(head | buffers, folder / "head.safetensors")
    notes = {"layers": member.layers, "base": base} | ({"base_digest": digest} if digest else {})
    (folder / "member.json").write_text(json.dumps(notes, sort_keys=True) + "\n")


def load_member(decoder: Decoder, folder: Path, *, digest: str = "") -> RewardMember:
    """Read what `save_member` wrote, frozen; raises IntegrityError when the head does not fit, or the base is another.

    A member that was written before there were length slopes has slope 0.
    """
    notes = json.loads((folder / "member.json").read_text())
    if digest and notes.get("base_digest", digest) != digest:
        raise IntegrityError(
            f"{folder} was trained on another base than {notes.get('base')!r} is now",
            cure="restore that model, or run again",
        )
    layers = int(notes["layers"])
    member = RewardMember(decoder, load_adapter(folder, name="reward", base=decoder) if layers else None, layers)
    tensors = {"slope": torch.zeros(())} | read_tensors(folder / "head.safetensors")
    wanted = {name: t.shape for name, t in member.state_dict().items() if not name.startswith("adapter.")}
    if {name: t.shape for name, t in tensors.items()} != wanted:
        raise IntegrityError(f"{folder / 'head.safetensors'} holds no reward head for this base model")
    member.load_state_dict(tensors, strict=False)
    return member.to(decoder.embedding.device).requires_grad_(False)


class ValueModel(nn.Module):
    """Value of the state before each token, from the branch state: a two-layer perceptron that starts at zero."""

    def __init__(self, hidden_size: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.inner = nn.Linear(hidden_size, width)
        self.outer = nn.Linear(width, 1)
        with torch.no_grad():
            self.inner.weight.copy_(torch.randn(width, hidden_size, generator=generator) / math.sqrt(hidden_size))
            for zero in (self.inner.bias, self.outer.weight, self.outer.bias):
                zero.zero_()

    def forward(self, branch: Tensor) -> Tensor:
        """Values `[...]` of branch states `[..., D]`."""
        normed = functional.rms_norm(branch, (branch.shape[-1],))
        value: Tensor = self.outer(functional.gelu(self.inner(normed)))[..., 0]
        return value
