import pytest

from ponder.text.tokenizer.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def tok() -> Tokenizer:
    return Tokenizer.packaged()


@pytest.fixture(scope="session")
def tok25() -> Tokenizer:
    return Tokenizer.packaged("qwen2.5")
