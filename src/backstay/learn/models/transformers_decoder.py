"""Any other causal language model of transformers behind the interface of our own decoder.

The branch is always at layer 0: such a model can be entered at its input embeddings only, so `trunk` looks embeddings
up and `top` runs every layer. Adapters act through forward hooks on linear layers; whole weights are swapped in for a
call.
Shapes as in decoder.py: B batch, T positions, S cached and new positions, D hidden, N chosen positions, V vocabulary.
"""

import contextlib
import copy
import importlib
import inspect
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from backstay.errors import UsageError
from backstay.learn.models.adapters import merged_weight
from backstay.learn.models.architecture import Architecture
from backstay.learn.models.decoder import Adapters, Decoder, KeyValueCache, positions_of
from backstay.learn.models.shells import Given, shell


class ForeignCache(KeyValueCache):
    """A cache of transformers, which grows by itself; `length` counts positions as ours does."""

    def __init__(self, capacity: int, inner: Any) -> None:
        super().__init__(capacity)
        self.inner = inner

    def keep(self, rows: Tensor) -> None:
        """Keep the batch rows that `rows` (a mask, or indices that may repeat) names, in that order."""
        self.inner.batch_select_indices(rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows)


class ForeignDecoder(Decoder):
    """A frozen causal language model of transformers; adapters come with each call, as with our own decoder."""

    def __init__(self, causal: nn.Module, architecture: Architecture) -> None:
        super().__init__(architecture, dict(causal.named_parameters()), branch_layer=0)
        self.causal: Any = causal.eval().requires_grad_(False)
        self.standing: Adapters = ()
        self._active: list[Adapters] = [()]  # One list for all that `merged` makes: the hooks are theirs together.
        self._canonical = {id(parameter): name for name, parameter in causal.named_parameters()}
        self._shells: dict[int, nn.Module] = {}
        self._head = shell(self.causal, {str(self.causal.base_model_prefix): Given()})
        self._linears = _linears(self.causal)
        for path, module in self._linears.items():
            module.register_forward_hook(partial(self._adapt, path), with_kwargs=True)

    @property
    def embedding(self) -> Tensor:
        """Token embedding `[V, D]`."""
        weight: Tensor = self.causal.get_input_embeddings().weight
        return weight

    def new_cache(self, capacity: int) -> KeyValueCache:
        """An empty cache; it grows as positions come."""
        transformers: Any = importlib.import_module("transformers")
        return ForeignCache(capacity, transformers.DynamicCache(config=self.causal.config))

    def trunk(
        self,
        tokens_B_T: Tensor,
        mask_B_S: Tensor,  # noqa: ARG002  the interface; an embedding sees no neighbours
        cache: KeyValueCache | None = None,  # noqa: ARG002  the interface; embeddings are not cached
        adapters: Adapters = (),
    ) -> Tensor:
        """Input embeddings `[B, T, D]` of new tokens, scaled where the architecture scales them in the look-up."""
        embedded: Tensor = self._call(self.causal.get_input_embeddings(), adapters, tokens_B_T)
        return embedded

    def top(
        self, branch_B_T_D: Tensor, mask_B_S: Tensor, adapters: Adapters = (), cache: KeyValueCache | None = None
    ) -> Tensor:
        """Final normalised hidden states `[B, T, D]` from input embeddings, through every layer."""
        hidden: Tensor = self._through(
            self.causal.base_model, branch_B_T_D, mask_B_S, adapters, cache
        ).last_hidden_state
        return hidden

    def layers(
        self,
        hidden_B_T_D: Tensor,
        mask_B_S: Tensor,
        start: int,
        end: int,
        adapters: Adapters = (),
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """States after the first `end` layers, without the final norm.

        Raises UsageError for `end` 0 (a score read off embeddings sees no context), for `start` above 0, and for an
        architecture whose layers do not stand in one list.
        """
        self._check_span(start, end)
        if end not in self._shells:
            name, stack = self._stack()
            self._shells[end] = shell(self.causal.base_model, {name: nn.ModuleList(list(stack)[:end])})
        seen: list[Tensor] = []
        handle = self._stack()[1][end - 1].register_forward_hook(lambda _module, _inputs, out: seen.append(_first(out)))
        try:
            self._through(self._shells[end], hidden_B_T_D, mask_B_S, adapters, cache)
        finally:
            handle.remove()
        return seen[0]

    def logits(self, hidden_N_D: Tensor, adapters: Adapters = ()) -> Tensor:
        """Next-token logits `[..., V]` with the architecture's own scaling and capping, in float32 or float64."""
        flat = hidden_N_D.reshape(1, -1, hidden_N_D.shape[-1])
        out: Tensor = self._call(self._head, adapters, inputs_embeds=flat, use_cache=False).logits
        logits = out.reshape(*hidden_N_D.shape[:-1], -1)
        return logits if logits.dtype == torch.float64 else logits.float()

    def lora_shapes(self, start: int | None = None, end: int | None = None) -> dict[str, tuple[int, ...]]:
        """Paths and `(out, in)` of the linear layers that LoRA adapts, of layers `start` to `end`; all by default.

        The output embedding is left out, and so is a linear layer that no forward pass calls.
        """
        first, last = start or 0, self.architecture.n_layers if end is None else end
        every = first == 0 and last == self.architecture.n_layers
        wanted = [path for path in self._linears if every or first <= self._layer_of(path) < last]
        return {path: _out_in(self._linears[path]) for path in wanted}

    def merged(self, adapters: Adapters) -> "ForeignDecoder":
        """The same decoder that always wears `adapters`: as if they were folded in, without a copy of the weights."""
        dressed = copy.copy(self)
        dressed.standing = (*self.standing, *adapters)
        dressed.weights = self.weights | self._replaced(dressed.standing)
        return dressed

    def to(self, *args: object, **kwargs: object) -> "ForeignDecoder":
        """Move and cast the weights, in place."""
        self.causal.to(*args, **kwargs)
        self.weights = {name: parameter.detach() for name, parameter in self.causal.named_parameters()}
        return self

    def leave_out(self, paths: set[str]) -> None:
        """Adapt none of these linear layers."""
        self._linears = {path: module for path, module in self._linears.items() if path not in paths}

    def linears(self) -> dict[str, nn.Module]:
        """The linear layers that adapters may sit on, by path."""
        return dict(self._linears)

    def merged_state(self, adapters: Adapters) -> dict[str, Tensor]:
        """The whole model's state under transformers' names, with every adapter folded in."""
        every = (*self.standing, *adapters)
        folded = self._replaced(every)
        low_rank = [adapter for adapter in every if adapter.kind == "lora"]
        for path, module in self._linears.items():
            weight = folded.get(f"{path}.weight", self.weights[f"{path}.weight"])
            turned = _is_conv1d(module)
            merged = merged_weight(path, weight.T if turned else weight, low_rank)
            folded[f"{path}.weight"] = (merged.T if turned else merged).contiguous()
        known = {name: self._canonical[id(p)] for name, p in self.causal.named_parameters(remove_duplicate=False)}
        state: dict[str, Tensor] = self.causal.state_dict()
        return {name: folded.get(known.get(name, ""), tensor).detach() for name, tensor in state.items()}

    def save_merged(self, adapters: Adapters, folder: Path) -> None:
        """Write configuration and merged weights as transformers does."""
        with quiet_transformers():
            self.causal.save_pretrained(folder, state_dict=self.merged_state(adapters))

    def _through(
        self, base: nn.Module, embedded: Tensor, mask_B_S: Tensor, adapters: Adapters, cache: KeyValueCache | None
    ) -> Any:
        inner = cache.inner if isinstance(cache, ForeignCache) else None
        positions = positions_of(mask_B_S)[:, -embedded.shape[1] :]
        named = {"position_ids": positions} if "position_ids" in inspect.signature(base.forward).parameters else {}
        return self._call(
            base,
            adapters,
            inputs_embeds=embedded,
            attention_mask=mask_B_S.long(),
            past_key_values=inner,
            use_cache=inner is not None,
            **named,
        )

    def _call(self, module: nn.Module, adapters: Adapters, *args: Any, **kwargs: Any) -> Any:
        every = (*self.standing, *adapters)
        replaced = self._replaced(every)
        with self._wearing(every):
            if not replaced:
                return module(*args, **kwargs)
            here = module.named_parameters(remove_duplicate=False)
            weights = {name: replaced[known] for name, p in here if (known := self._canonical[id(p)]) in replaced}
            return functional_call(module, weights, args, kwargs, tie_weights=False)

    def _replaced(self, adapters: Adapters) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for adapter in adapters:
            if adapter.kind == "full":
                wholes = {name: adapter.whole(name.removesuffix(".weight")) for name in self.weights}
                found |= {name: whole for name, whole in wholes.items() if whole is not None}
        return found

    @contextlib.contextmanager
    def _wearing(self, adapters: Adapters) -> Iterator[None]:
        self._active.append(adapters)
        try:
            yield
        finally:
            self._active.pop()

    def _adapt(self, path: str, _module: nn.Module, args: Any, kwargs: dict[str, Any], out: Tensor) -> Tensor:
        x = args[0] if args else next(iter(kwargs.values()))
        for adapter in self._active[-1]:
            delta = adapter.delta(path, x)
            out = out if delta is None else out + delta
        return out

    def _stack(self) -> tuple[str, nn.ModuleList]:
        count = self.architecture.n_layers
        for name, child in self.causal.base_model.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == count:
                return name, child
        raise UsageError(
            f"the layers of {self.architecture.model_type} models do not stand in one list of {count}, so no reward "
            "model can run the first of them",
            cure="choose a base model of another architecture",
        )

    def _layer_of(self, path: str) -> int:
        """The index of the layer that a linear layer belongs to, or -1."""
        prefix = f"{self.causal.base_model_prefix}.{self._stack()[0]}."
        index = path.removeprefix(prefix).partition(".")[0]
        return int(index) if path.startswith(prefix) else -1

    def _check_span(self, start: int, end: int) -> None:
        if start != 0 or end == 0:
            raise UsageError(
                f"a {self.architecture.model_type} model runs layers from the embeddings up, not {start} to {end}",
                cure=f"set reward.layers between 1 and {self.architecture.n_layers}",
            )


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' progress bars and warnings: what they say that matters here is raised or in a notice."""
    logging: Any = importlib.import_module("transformers.utils.logging")
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _linears(causal: Any) -> dict[str, nn.Module]:
    kinds = (nn.Linear, _conv1d())
    head = causal.get_output_embeddings()
    found = {name: m for name, m in causal.named_modules() if isinstance(m, kinds) and m is not head}
    return dict(sorted(found.items()))


def _conv1d() -> type[nn.Module]:
    kind: type[nn.Module] = importlib.import_module("transformers.pytorch_utils").Conv1D
    return kind


def _is_conv1d(module: nn.Module) -> bool:
    return not isinstance(module, nn.Linear)


def _out_in(module: nn.Module) -> tuple[int, int]:
    """Conv1D of GPT-2 keeps its weight as `[in, out]`."""
    first, second = module.weight.shape  # type: ignore[misc]  # a linear layer's weight is a matrix
    return (second, first) if _is_conv1d(module) else (first, second)


def _first(out: Any) -> Tensor:
    state: Tensor = out[0] if isinstance(out, tuple) else out
    return state
