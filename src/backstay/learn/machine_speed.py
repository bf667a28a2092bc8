"""How fast this machine runs one layer and the head of a given architecture, measured in about a second.

A layer of the real widths with zero weights is timed at the shapes that the stages use: many tokens at once (prefill
and training), and one token a row (decoding), where the fixed cost of a call matters as much as the arithmetic.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from backstay.learn.decoding import draw
from backstay.learn.models.adapters import Adapter, lora
from backstay.learn.models.architecture import Architecture
from backstay.learn.models.decoder import Decoder

REPEATS = 3
"""Runs of each measurement, of which the fastest counts: what is asked for is the time with nothing else running."""
FLOPS_AT_ONCE = 10e9
"""Arithmetic of the largest measurement; the number of tokens follows from it and is at most MANY_TOKENS."""
MANY_TOKENS, CONTEXT = 768, 48
FEW_ROWS, MANY_ROWS = 8, 64
"""Rows of the two decoding measurements, through which a line is laid."""
HEAD_ROWS, HEAD_WORDS = 64, 16384
"""Rows and vocabulary entries of the measurements of the head; the rest of the vocabulary is scaled."""


@dataclass(frozen=True)
class MachineSpeed:
    """Seconds of the parts that every stage is made of.

    `prefill_s` and `train_s` are per token and layer; `row_s` per row of one token and layer, `call_s` per call of a
    layer whatever its rows, `adapter_s` what an adapter adds to such a call; `head_s` (logits and one draw) and
    `head_train_s` (logits, cross-entropy and its gradient) per row over the whole vocabulary.
    """

    prefill_s: float
    train_s: float
    row_s: float
    call_s: float
    adapter_s: float
    head_s: float
    head_train_s: float


def measure_machine(architecture: Architecture, *, rank: int = 16, device: torch.device | None = None) -> MachineSpeed:
    """Time one layer and a slice of the head of `architecture` with the threads that torch uses now."""
    probe = _Probe(architecture, rank, device or torch.device("cpu"))
    few, many = probe.decoding(FEW_ROWS, adapted=False), probe.decoding(MANY_ROWS, adapted=False)
    row, call = line_through(FEW_ROWS, few, MANY_ROWS, many)
    share = architecture.vocab_size / probe.words
    return MachineSpeed(
        prefill_s=probe.prefill() / probe.tokens,
        train_s=probe.training() / probe.tokens,
        row_s=row,
        call_s=call,
        adapter_s=max(0.0, probe.decoding(MANY_ROWS, adapted=True) - many),
        head_s=share * probe.head() / HEAD_ROWS,
        head_train_s=share * probe.head_training() / HEAD_ROWS,
    )


def line_through(x1: float, y1: float, x2: float, y2: float) -> tuple[float, float]:
    """Slope and intercept of a cost that grows with x; neither is negative."""
    slope = max((y2 - y1) / (x2 - x1), 0.0)
    intercept = y2 - slope * x2
    return (slope, intercept) if intercept >= 0 else (y2 / x2, 0.0)


def fastest(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of a few runs, after one that does not count."""
    run()
    times = []
    for _ in range(REPEATS):
        _wait(device)
        started = time.perf_counter()
        run()
        _wait(device)
        times.append(time.perf_counter() - started)
    return min(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _Probe:
    """One layer with zero weights; arithmetic takes as long for zeros as for anything else."""

    def __init__(self, architecture: Architecture, rank: int, device: torch.device) -> None:
        self.device = device
        self.words = min(architecture.vocab_size, HEAD_WORDS)
        self.tokens = int(min(MANY_TOKENS, max(CONTEXT, FLOPS_AT_ONCE / (2 * architecture.layer_parameters))))
        self.tokens -= self.tokens % CONTEXT
        one = replace(architecture, n_layers=1, vocab_size=self.words, tie_embeddings=True)
        self.decoder = Decoder(one, _zero_weights(one), branch_layer=0).to(device)
        generator = torch.Generator().manual_seed(0)
        made = lora("trained", self.decoder.lora_shapes(), rank=rank, alpha=1.0, generator=generator)
        self.adapters = (made.to(device),)

    def prefill(self) -> float:
        hidden, mask = self._batch()

        def run() -> None:
            with torch.no_grad():
                self.decoder.layers(hidden, mask, 0, 1)

        return fastest(run, self.device)

    def training(self) -> float:
        hidden, mask = self._batch()
        hidden.requires_grad_(True)

        def run() -> None:
            out = self.decoder.layers(hidden, mask, 0, 1, self.adapters)
            out.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

        return fastest(run, self.device)

    def decoding(self, rows: int, *, adapted: bool) -> float:
        width = self.decoder.hidden_size
        hidden, mask = self._zeros(rows, 1, width), torch.ones(rows, CONTEXT, dtype=torch.bool, device=self.device)
        adapters: tuple[Adapter, ...] = self.adapters if adapted else ()
        cache = self.decoder.new_cache(CONTEXT)
        cache.advance(CONTEXT - 1)

        def run() -> None:
            with torch.no_grad():
                self.decoder.layers(hidden, mask, 0, 1, adapters, cache)

        return fastest(run, self.device)

    def head(self) -> float:
        hidden = self._zeros(HEAD_ROWS, self.decoder.hidden_size)
        uniform = torch.full((HEAD_ROWS,), 0.5, dtype=torch.float64, device=self.device)

        def run() -> None:
            with torch.no_grad():
                draw(self.decoder.logits(hidden), uniform)

        return fastest(run, self.device)

    def head_training(self) -> float:
        hidden = self._zeros(HEAD_ROWS, self.decoder.hidden_size).requires_grad_(True)
        target = torch.zeros(HEAD_ROWS, dtype=torch.long, device=self.device)

        def run() -> None:
            functional.cross_entropy(self.decoder.logits(hidden), target).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

        return fastest(run, self.device)

    def _batch(self) -> tuple[Tensor, Tensor]:
        rows = self.tokens // CONTEXT
        mask = torch.ones(rows, CONTEXT, dtype=torch.bool, device=self.device)
        return self._zeros(rows, CONTEXT, self.decoder.hidden_size), mask

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, device=self.device)


def _zero_weights(architecture: Architecture) -> dict[str, Tensor]:
    hidden, inner = architecture.hidden_size, architecture.intermediate_size
    query, key_value = architecture.query_size, architecture.key_value_size
    shapes: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj": (query, hidden),
        "self_attn.k_proj": (key_value, hidden),
        "self_attn.v_proj": (key_value, hidden),
        "self_attn.o_proj": (hidden, query),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
        "self_attn.q_norm": (architecture.head_dim,),
        "self_attn.k_norm": (architecture.head_dim,),
    }
    weights = {f"model.layers.0.{name}.weight": torch.zeros(shape) for name, shape in shapes.items()}
    ends = {"model.norm.weight": (hidden,), "model.embed_tokens.weight": (architecture.vocab_size, hidden)}
    return weights | {name: torch.zeros(shape) for name, shape in ends.items()}
