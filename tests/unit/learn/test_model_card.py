from pathlib import Path

import pytest
import yaml

from backstay.learn.model_card import Card, Measured, Section, licence_of, model_card

CARD = Card(title="a", base="b", base_digest="0" * 64, licence="Apache-2.0")


def test_front_matter_is_yaml_that_hubs_read() -> None:
    text = model_card(CARD)
    front = yaml.safe_load(text.split("---\n")[1])
    assert front == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["backstay", "rlhf"],
        "license": "apache-2.0",
    }
    assert "That of the base model: Apache-2.0." in text


@pytest.mark.parametrize("licence", ["", "apache 2.0", "mit\ntags: [official]", "<b>", "a" * 80])
def test_a_licence_that_is_no_name_stays_out(licence: str) -> None:
    text = model_card(Card(title="a", base="b", base_digest="0", licence=licence))
    assert "license" not in yaml.safe_load(text.split("---\n")[1])
    assert "does not name it" in text


@pytest.mark.hostile
def test_foreign_text_is_shown_as_text() -> None:
    evil = "a | <b>\n# c"
    card = Card(
        title=evil,
        base=evil,
        base_digest="0",
        licence="mit",
        sections=[Section(evil, {"k|": "<script>"}, [evil])],
        measured=[Measured(evil, None, (1, 0.5, 1.5), None)],
        measured_on=evil,
        limits=[evil],
    )
    text = model_card(card)
    assert "<b>" not in text and "<script>" not in text
    assert "# a \\| &lt;b> # c\n" in text and "| k\\| | &lt;script> |" in text
    assert "\n# c" not in text


def test_figures_have_their_intervals() -> None:
    measured = [
        Measured("gold", (0.5, 0.4, 0.6), (0.75, 0.7, 0.8), (0.25, 0.2, 0.3)),
        Measured("kl", None, (2, 1, 3), None),
    ]
    card = Card(title="a", base="b", base_digest="0", licence="", measured=measured, measured_on="75 prompts.")
    text = model_card(card)
    assert "| gold | 0.500 [0.400, 0.600] | 0.750 [0.700, 0.800] | 0.250 [0.200, 0.300] |" in text
    assert "| kl | - | 2.000 [1.000, 3.000] | - |" in text and "75 prompts." in text
    assert "## Evaluation" not in model_card(CARD)


def test_the_licence_is_looked_for_in_two_places(tmp_path: Path) -> None:
    assert licence_of(tmp_path) == ""
    (tmp_path / "README.md").write_text("---\nlicense: MIT  \nother: x\n---\nlicense: wrong\n")
    assert licence_of(tmp_path) == "MIT"
    (tmp_path / "README.md").write_text("no front matter\nlicense: wrong\n")
    assert licence_of(tmp_path) == ""
    (tmp_path / "tokenizer_config.json").write_text('{"license": "apache-2.0"}')
    assert licence_of(tmp_path) == "apache-2.0"
    (tmp_path / "tokenizer_config.json").write_text('["license"]')
    assert licence_of(tmp_path) == ""
