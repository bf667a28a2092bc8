"""Finished runs of sft, ppo and dpo on the tiny model whose adapters are noise, as folders of a project."""

from pathlib import Path
from typing import Any

from tiny_loop import fresh_adapter, shaken, tiny_shape

from backstay.learn import DpoSettings, PpoSettings
from backstay.learn.models.adapters import save_adapter
from backstay.learn.models.language_model import LanguageModel
from backstay.pipeline.manifest import write_manifest
from backstay.pipeline.project import Project
from backstay.pipeline.runs import Run, open_run

SFT, PPO, DPO = "sft-000000000001", "ppo-000000000002", "dpo-000000000004"


def write_trained_runs(root: Path, model: LanguageModel, **shape: Any) -> Project:
    """A project with one run each of sft, ppo and dpo."""
    project = Project.create(root, "name: trained\n")
    settings = tiny_shape(**shape)
    sft = shaken(fresh_adapter(model, settings, seed=1), seed=1)
    policy = shaken(fresh_adapter(model, settings, (sft,), seed=2), seed=2)
    sft.name, policy.name = "sft", "policy"
    parts = {"model": settings.model_dump(mode="json")}
    ppo = PpoSettings(max_new_tokens=7, temperature=0.9).model_dump(mode="json")
    dpo = DpoSettings(max_new_tokens=8, temperature=0.6).model_dump(mode="json")
    digest = ""
    for name, adapter, more in ((SFT, sft, {}), (PPO, policy, {"ppo": ppo}), (DPO, policy, {"dpo": dpo})):
        inputs = {"sft": {"run": SFT, "sha256": digest}} if more else {}
        folder = project.runs / name
        save_adapter(adapter, folder / "model", base=model.name, extra={"base_digest": model.digest})
        stage = name.partition("-")[0]
        predicate = {"stage": stage, "key": "k", "inputs": inputs, "settings": parts | more, "summary": {"updates": 3}}
        written = write_manifest(folder, predicate | {"finished": "2026-01-01T00:00:00.000+00:00"})
        digest = written.digest if name == SFT else digest
    return project


def run_of(project: Project, name: str) -> Run:
    return open_run(project.runs / name)
