from collections.abc import Iterator

import pytest
import torch
from tiny_loop import load_tiny

from backstay.learn.models.language_model import LanguageModel


@pytest.fixture(scope="session", autouse=True)
def _model_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKSTAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def model(_model_cache: None) -> LanguageModel:
    return load_tiny()


@pytest.fixture(scope="session")
def model64(_model_cache: None) -> LanguageModel:
    return load_tiny(torch.float64)
