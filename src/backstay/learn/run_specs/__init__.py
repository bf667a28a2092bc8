"""Run specs for trainers that scale out: our recipe in the words of verl and OpenRLHF."""

from backstay.learn.run_specs.openrlhf import OPENRLHF_VERSION, openrlhf_spec
from backstay.learn.run_specs.spec import Facts, Missing, RunSpec
from backstay.learn.run_specs.verl import VERL_VERSION, verl_spec

__all__ = [
    "OPENRLHF_VERSION",
    "VERL_VERSION",
    "Facts",
    "Missing",
    "RunSpec",
    "openrlhf_spec",
    "verl_spec",
]
