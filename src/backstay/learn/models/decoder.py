"""A decoder of the Llama family that can be cut at a branch layer.

`trunk` runs the frozen layers below the branch, `top` the rest with whatever adapters are active. Decoding keeps the
branch states, so that policy, reference, value and reward all start from them (the hydra of Ziegler et al. 2019 and
trlX, with adapters in place of heads). Shapes: B batch, T positions, S cached positions, D hidden, H heads.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from backstay.learn.models.adapters import TARGETS, Adapter, merged_weight
from backstay.learn.models.architecture import Architecture

Adapters = Sequence[Adapter]


class KeyValueCache:
    """Keys and values of past positions, `[B, H_kv, capacity, head_dim]` a layer, allocated at the first write."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write new positions of one layer and return all so far; `advance` moves the length once a step."""
        if layer not in self._kept:
            batch, heads, _, width = key.shape
            empty = key.new_zeros(batch, heads, self.capacity, width)
            self._kept[layer] = empty, torch.zeros_like(empty)
        keys, values = self._kept[layer]
        end = self.length + key.shape[2]
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, count: int) -> None:
        """Count `count` more positions as written in every layer."""
        self.length += count

    def keep(self, rows: Tensor) -> None:
        """Keep the batch rows that `rows` (a mask, or indices that may repeat) names, in that order."""
        self._kept = {layer: (keys[rows], values[rows]) for layer, (keys, values) in self._kept.items()}


def positions_of(mask_B_T: Tensor) -> Tensor:
    """Positions from a mask of real tokens, the same for left and right padding; padding gets the nearest one."""
    return (mask_B_T.long().cumsum(1) - 1).clamp(min=0)


def attention_mask(mask_B_S: Tensor, queries: int) -> Tensor:
    """Boolean `[B, 1, queries, S]`: the last `queries` positions see real positions up to themselves.

    A padding query sees itself, so that no softmax row is empty.
    """
    total = mask_B_S.shape[1]
    causal = torch.ones(queries, total, dtype=torch.bool, device=mask_B_S.device).tril(total - queries)
    itself = torch.eye(total, dtype=torch.bool, device=mask_B_S.device)[total - queries :]
    return ((causal & mask_B_S[:, None, :].bool()) | itself)[:, None]


class Decoder(nn.Module):
    """Weights of a Llama-family model, frozen, under Hugging Face's names; adapters come with each call."""

    notice: str = ""
    """What a user should know about how this model runs; empty for our own decoder."""

    def __init__(self, architecture: Architecture, weights: Mapping[str, Tensor], branch_layer: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.branch_layer = min(branch_layer, architecture.n_layers)
        self.weights = {name: tensor.detach().requires_grad_(False) for name, tensor in weights.items()}
        half = torch.arange(0, architecture.head_dim, 2, dtype=torch.float64) / architecture.head_dim
        self.inverse_frequency = architecture.rope_theta**-half

    @property
    def embedding(self) -> Tensor:
        """Token embedding `[V, D]`."""
        return self.weights["model.embed_tokens.weight"]

    @property
    def hidden_size(self) -> int:
        """Width D of the hidden states."""
        return self.architecture.hidden_size

    def new_cache(self, capacity: int) -> KeyValueCache:
        """An empty cache for at most `capacity` positions."""
        return KeyValueCache(capacity)

    def trunk(
        self, tokens_B_T: Tensor, mask_B_S: Tensor, cache: KeyValueCache | None = None, adapters: Adapters = ()
    ) -> Tensor:
        """Branch states `[B, T, D]` of new tokens; `mask_B_S` covers cached and new positions.

        With the branch at layer 0 these are embeddings, and only then may an adapter (a full copy) change them.
        """
        embedding = self._weight("model.embed_tokens", adapters if self.branch_layer == 0 else ())
        hidden = functional.embedding(tokens_B_T, embedding)
        return self._run(hidden, 0, self.branch_layer, mask_B_S, cache, ())

    def top(
        self, branch_B_T_D: Tensor, mask_B_S: Tensor, adapters: Adapters = (), cache: KeyValueCache | None = None
    ) -> Tensor:
        """Final normalised hidden states `[B, T, D]` from branch states."""
        hidden = self.layers(branch_B_T_D, mask_B_S, self.branch_layer, self.architecture.n_layers, adapters, cache)
        return self._norm(hidden, "model.norm", adapters)

    def layers(
        self,
        hidden_B_T_D: Tensor,
        mask_B_S: Tensor,
        start: int,
        end: int,
        adapters: Adapters = (),
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Run layers `start` to `end` (exclusive) without the final norm."""
        return self._run(hidden_B_T_D, start, end, mask_B_S, cache, adapters)

    def logits(self, hidden_N_D: Tensor, adapters: Adapters = ()) -> Tensor:
        """Next-token logits `[..., V]` in float32 (float64 for float64 states)."""
        tied = self.architecture.tie_embeddings
        head = self._weight("model.embed_tokens" if tied else "lm_head", adapters)
        logits = functional.linear(hidden_N_D, head)
        return logits if logits.dtype == torch.float64 else logits.float()

    def lora_shapes(self, start: int | None = None, end: int | None = None) -> dict[str, tuple[int, ...]]:
        """Paths and shapes of the projections of layers `start` (default: the branch) to `end` that LoRA adapts."""
        first = self.branch_layer if start is None else start
        last = self.architecture.n_layers if end is None else end
        wanted = tuple(f"{name}.weight" for name in TARGETS)
        shapes = {}
        for layer in range(first, last):
            prefix = f"model.layers.{layer}."
            for name, tensor in self.weights.items():
                if name.startswith(prefix) and name.endswith(wanted):
                    shapes[name.removesuffix(".weight")] = tuple(tensor.shape)
        return shapes

    def trainable_weights(self) -> dict[str, Tensor]:
        """What full fine-tuning copies: every weight from the branch up, and the embedding when the branch is 0."""
        below = tuple(f"model.layers.{layer}." for layer in range(self.branch_layer))
        frozen = () if self.branch_layer == 0 else ("model.embed_tokens.",)
        chosen = {n: t for n, t in self.weights.items() if not n.startswith(below + frozen)}
        return {_path(name): tensor for name, tensor in chosen.items()}

    def merged(self, adapters: Adapters) -> "Decoder":
        """A decoder with `adapters` folded into its weights; what they do not touch is shared, not copied."""
        weights = {name: merged_weight(_path(name), tensor, adapters).detach() for name, tensor in self.weights.items()}
        return Decoder(self.architecture, weights, self.branch_layer)

    def to(self, *args: object, **kwargs: object) -> "Decoder":
        """Move and cast the weights, in place."""
        self.weights = {name: tensor.to(*args, **kwargs) for name, tensor in self.weights.items()}  # type: ignore[call-overload]  # passed through
        return self

    def _weight(self, path: str, adapters: Adapters) -> Tensor:
        for adapter in reversed(adapters):
            whole = adapter.whole(path)
            if whole is not None:
                return whole
        return self.weights[path + ".weight"]

    def _project(self, x: Tensor, path: str, adapters: Adapters) -> Tensor:
        y = functional.linear(x, self._weight(path, adapters), self._bias(path, adapters))
        for adapter in adapters:
            delta = adapter.delta(path, x)
            y = y if delta is None else y + delta
        return y

    def _bias(self, path: str, adapters: Adapters) -> Tensor | None:
        for adapter in reversed(adapters):
            whole = adapter.whole(path + ".bias")
            if whole is not None:
                return whole
        return self.weights.get(path + ".bias")

    def _norm(self, x: Tensor, path: str, adapters: Adapters) -> Tensor:
        weight = self._weight(path, adapters)
        return functional.rms_norm(x, (weight.shape[0],), weight, self.architecture.norm_eps)

    def _run(
        self, hidden: Tensor, start: int, end: int, mask_B_S: Tensor, cache: KeyValueCache | None, adapters: Adapters
    ) -> Tensor:
        if start == end:
            return hidden
        queries = hidden.shape[1]
        rotation = self._rotation(positions_of(mask_B_S)[:, -queries:], hidden.dtype)
        mask = attention_mask(mask_B_S, queries)
        for layer in range(start, end):
            hidden = self._layer(hidden, layer, rotation, mask, cache, adapters)
        return hidden

    def _rotation(self, positions_B_T: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        angle = positions_B_T[:, None, :, None].double() * self.inverse_frequency.to(positions_B_T.device)
        angle = torch.cat((angle, angle), -1)
        return angle.cos().to(dtype), angle.sin().to(dtype)

    def _layer(
        self,
        x: Tensor,
        layer: int,
        rotation: tuple[Tensor, Tensor],
        mask: Tensor,
        cache: KeyValueCache | None,
        adapters: Adapters,
    ) -> Tensor:
        path = f"model.layers.{layer}."
        attended = self._attention(
            self._norm(x, path + "input_layernorm", adapters), layer, rotation, mask, cache, adapters
        )
        x = x + attended
        normed = self._norm(x, path + "post_attention_layernorm", adapters)
        gate = functional.silu(self._project(normed, path + "mlp.gate_proj", adapters))
        up = self._project(normed, path + "mlp.up_proj", adapters)
        return x + self._project(gate * up, path + "mlp.down_proj", adapters)

    def _attention(
        self,
        x: Tensor,
        layer: int,
        rotation: tuple[Tensor, Tensor],
        mask: Tensor,
        cache: KeyValueCache | None,
        adapters: Adapters,
    ) -> Tensor:
        path = f"model.layers.{layer}.self_attn."
        query = self._heads(x, path + "q", adapters, rotation)
        key = self._heads(x, path + "k", adapters, rotation)
        value = self._heads(x, path + "v", adapters, None)
        if cache is not None:
            key, value = cache.extend(layer, key, value)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
        return self._project(mixed.transpose(1, 2).flatten(2), path + "o_proj", adapters)

    def _heads(self, x: Tensor, path: str, adapters: Adapters, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        projected = self._project(x, path + "_proj", adapters)
        heads = projected.view(*x.shape[:2], -1, self.architecture.head_dim).transpose(1, 2)
        if rotation is None:
            return heads
        if self.architecture.query_key_norm:
            heads = self._norm(heads, path + "_norm", adapters)
        cos, sin = rotation
        first, second = heads.chunk(2, -1)
        return heads * cos + torch.cat((-second, first), -1) * sin


def _path(name: str) -> str:
    return name.removesuffix(".weight")
