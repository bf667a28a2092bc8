"""In which language a text is: by its script, and for Latin letters and Cyrillic by small words; often not at all.

Short texts, code, names and mixtures have no language here: the answer is None, and that is said.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from backstay.records import Finding
from backstay.scan.form import scripts
from backstay.scan.scanner import NO_LIMIT, Budget, CostClass, Point
from backstay.scan.view import View

SCANNER = "language"
READ = 4_000
"""Characters that are looked at."""

MIN_LETTERS = 20
MIN_HITS = 3
"""Small words of a language that must occur before it is named."""

MIN_SHARE = 0.12
"""Share of the words that must be small words of the language."""

LEAD = 1.3
"""How many times as many as of the next language."""

SCRIPT_SHARE = 0.6
_BY_SCRIPT = {
    "GREEK": "el", "HEBREW": "he", "HANGUL": "ko", "THAI": "th", "GEORGIAN": "ka", "ARMENIAN": "hy", "TAMIL": "ta",
    "TELUGU": "te", "BENGALI": "bn", "DEVANAGARI": "hi",
}  # fmt: skip
_WORDS = {
    "en": "the of and to in is that it for was with as are this be you not have on but they at from or we can which i "
    "what how do my your there an if would will has so about",
    "de": "der die das und ist nicht ein eine zu den mit von sich auf für dem im es ich sie wir auch als wie aber oder "
    "wenn noch nach bei einen kann wird sind dass mir mein des",
    "fr": "le la les de des et est un une que qui dans pour pas ne sur ce il elle nous vous avec je plus du au sont par "
    "mais ou cette être ont comme votre mon l'on en se à",
    "es": "el la los las de que y en un una es no por con para se del al lo como más pero su sus está le ha son si ya "
    "cuando muy mi yo este esta hay también qué cómo",
    "it": "il la di che e un una per non con sono è del della le i si da come anche più ma nel alla mi ho lo gli questo "
    "questa perché dei delle cosa quando hai al",
    "pt": "o a os as de que e em um uma não para com por do da no na se mais é como mas foi ao ele ela isso está você eu "
    "meu dos das são também quando muito seu sua",
    "nl": "de het een en van is dat niet in op te zijn met voor er aan ook maar als bij nog naar door om hij ze wij je ik "
    "wat dit worden kan mijn heeft over uit wordt",
    "sv": "och att det som en på är av för med den till inte har de om ett var jag men från kan vi så eller när hur ska "
    "sig din mitt här där mycket",
    "da": "og at det som en på er af for med den til ikke har de om et var jeg men fra kan vi så eller når hvordan skal "
    "sig din mit her der meget hvad",
    "no": "og at det som en på er av for med den til ikke har de om et var jeg men fra kan vi så eller når hvordan skal "
    "seg din mitt her der mye hva",
    "fi": "ja on ei se että oli hän en mutta ovat kun niin kuin voi tämä mitä olen myös tai jos siitä ole sen joka minä "
    "mukaan vain sitä hyvin miten",
    "pl": "i w na nie się jest z że do to jak za po co ale od czy przez był może dla już tak jego są tylko które który "
    "mnie ten gdy jestem mam można",
    "cs": "a se v na je že to s z do o i jsem ale za jak by pro si co tak které jsou nebo když jen po byl už který jako "
    "není mi má může",
    "ro": "și de la în a nu că este cu pe un o pentru să din care mai ce se au sunt am dar fi sau după prin acest foarte "
    "cum mi lui",
    "hu": "a az és hogy nem is egy ez meg csak de van volt már ha mint vagy még el kell lehet mi azt ami ezt nagyon nekem "
    "mert én fel hogyan",
    "tr": "ve bir bu için ile de da ne çok daha gibi olarak var ama ben sen mi en kadar olan değil nasıl sonra şey her "
    "ya ki o benim",
    "id": "yang dan di itu dengan untuk tidak ini dari dalam akan pada saya juga ke karena ada adalah bisa atau kamu oleh "
    "sudah kita apa bagaimana anda",
    "vi": "và của là có không cho một được với trong này người những tôi các để khi đã bạn như về nhưng từ đó thì rất "
    "gì nào",
    "ru": "и в не на я что с он как это по но из у за то все так же вы мы бы от его для мне или если есть когда очень меня",
    "uk": "і в не на я що з він як це по але із у за то все так ви ми б від його для мені або якщо є коли дуже та до",
    "bg": "и в не на аз че с той как това по но от за то всичко така да е се са ще му ми или ако има когато много към",
}  # fmt: skip
_SETS = {code: frozenset(words.split()) for code, words in _WORDS.items()}
_CYRILLIC = frozenset(("ru", "uk", "bg"))
LANGUAGES = tuple(sorted({*_WORDS, *_BY_SCRIPT.values(), "ja", "zh", "ar", "fa"}))
"""Codes (ISO 639-1) that `language_of` may give."""


class Guess(NamedTuple):
    """A language, or None where it cannot be told, and why."""

    code: str | None
    why: str


def language_of(text: str) -> Guess:
    """The language of a text; linear, at most the first 4,000 characters."""
    head = text[:READ]
    counts = scripts(head)
    if counts.total() < MIN_LETTERS // (4 if counts["CJK"] or counts["HANGUL"] else 1):
        return Guess(None, "too few letters")
    script, count = counts.most_common(1)[0]
    if count < SCRIPT_SHARE * counts.total():
        return Guess(None, "scripts are mixed")
    if script == "CJK":
        kana = sum("\u3040" <= char <= "\u30ff" for char in head)
        return Guess("ja" if kana > 0.05 * count else "zh", "by its script")
    if script == "ARABIC":
        return Guess("fa" if sum(char in "پچژگ" for char in head) > 0.01 * count else "ar", "by its letters")
    if script in _BY_SCRIPT:
        return Guess(_BY_SCRIPT[script], "by its script")
    if script in ("LATIN", "CYRILLIC"):
        return _by_words(head, [code for code in _SETS if (code in _CYRILLIC) == (script == "CYRILLIC")])
    return Guess(None, f"{script.lower()} is not known here")


def _by_words(text: str, codes: Iterable[str]) -> Guess:
    words = [word.strip(".,;:!?\"'()[]«»„“”…*_`¿¡") for word in text.lower().split()]
    counts = Counter(words)
    hits = Counter({code: sum(counts[word] for word in _SETS[code]) for code in codes})
    (first, most), (_, next_most) = hits.most_common(2)
    if most < MIN_HITS or most < MIN_SHARE * len(words):
        return Guess(None, "no small words of a known language")
    if most < LEAD * next_most:
        return Guess(None, "several languages fit")
    return Guess(first, f"{most} small words")


@dataclass(frozen=True)
class LanguageScanner:
    """Finds texts in other languages than those allowed: `other_language`, and `unknown_language` where it is unsure."""

    allowed: frozenset[str] = frozenset({"en"})
    deadline_ms: float = 20.0

    name: str = SCANNER
    cost_class: CostClass = "micro"
    points: frozenset[Point] = frozenset({"request.input", "response.final"})
    max_match_length: int | None = None

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:  # noqa: ARG002 - it reads little
        """At most one finding over the whole text; none for a text with too few letters to tell."""
        guess = language_of(view.original)
        if guess.code in self.allowed or guess.why == "too few letters":
            return ()
        known = guess.code is not None
        evidence = f"{guess.code}, {guess.why}" if known else guess.why
        kind = "other_language" if known else "unknown_language"
        return (Finding(scanner=self.name, kind=kind, severity="low" if known else "info", evidence=evidence),)
