from backstay.records import Choice, Judgment, Message, Prompt, Response, Task
from backstay.screen.hurried import chose_first, hurried_evidence, hurried_limit, rater_paces, words_shown
from backstay.screen.settings import ScreenSettings

PROMPT = Prompt.make((Message(role="user", content="one two three"),), source="test")
A = Response.make(PROMPT.id, "four five six seven", policy="p")
B = Response.make(PROMPT.id, "eight nine ten", policy="p")
TASK = Task.make(PROMPT.id, (A.id, B.id))
SHOWN = {TASK.id: 10}


def judge(rater: str, n: int, ms: int | None, winner: int = 0, order: tuple[int, ...] = (0, 1)) -> Judgment:
    choice = Choice.prefer(winner, 1 - winner)
    return Judgment(
        id=f"{rater}{n}", task_id=TASK.id, rater_id=rater, order_shown=order, choice=choice, duration_ms=ms,
        created_at="2026",
    )  # fmt: skip


def test_words_shown() -> None:
    texts = {A.id: A, B.id: B}
    assert words_shown(TASK, {PROMPT.id: PROMPT}, texts) == 10
    assert words_shown(TASK, {}, {}) == 5


def test_chose_first() -> None:
    assert chose_first(judge("r", 0, None, 1, (1, 0))) is True
    assert chose_first(judge("r", 0, None, 0, (1, 0))) is False
    assert chose_first(judge("r", 0, None, 0, ())) is None


def test_a_rater_below_the_floor_is_hurried_by_the_median() -> None:
    settings = ScreenSettings(min_ms_per_word=40.0)
    fast = [judge("fast", n, 300 if n % 5 else 60_000, n % 2) for n in range(10)]  # two long pauses do not save it
    slow = [judge("slow", n, 3_000 if n % 5 else 100, n % 2) for n in range(10)]
    few = [judge("few", n, 100) for n in range(3)]
    paces = rater_paces([*fast, *slow, *few], SHOWN, settings)
    assert [name for name, pace in paces.items() if pace.hurried] == ["fast"]
    assert paces["fast"].ms_per_word == 30.0
    assert paces["slow"].hurried_judgments == 2


def test_a_run_of_one_place_is_straight_lining_only_when_a_coin_would_not_do_it() -> None:
    settings = ScreenSettings()
    line = [judge("line", n, None, n % 2, (n % 2, 1 - n % 2)) for n in range(20)]
    short = [judge("short", n, None) for n in range(9)]
    mixed = [judge("mixed", n, None, n % 2) for n in range(20)]
    paces = rater_paces([*line, *short, *mixed], SHOWN, settings)
    assert [name for name, pace in paces.items() if pace.straight_lining] == ["line"]
    assert paces["line"].first_share == 1.0


def test_a_pair_is_named_when_most_of_its_judgments_were_hurried() -> None:
    settings = ScreenSettings(hurried_share=0.6)
    mostly = [judge("a", 0, 100), judge("b", 0, 100), judge("c", 0, 5_000)]
    half = [judge("a", 0, 100), judge("c", 0, 5_000)]
    assert [f.kind for f in hurried_evidence(mostly, SHOWN, {}, settings)] == ["hurried_evidence"]
    assert hurried_evidence(half, SHOWN, {}, settings) == ()
    assert hurried_evidence([judge("a", 0, None)], SHOWN, {}, settings) == ()
    assert hurried_evidence(mostly, SHOWN, {}, ScreenSettings(min_ms_per_word=0.0)) == ()


def test_the_limit_follows_the_other_raters_within_bounds() -> None:
    settings = ScreenSettings(min_ms_per_word=50.0, hurried_z=3.5)
    # logs are a median of log 400 plus or minus a deviation below the least spread of 0.15
    assert hurried_limit([400.0] * 6 + [60.0], settings) == 150.0  # 400 * exp(-3.5 * 0.15) = 237, above the ceiling
    assert abs(hurried_limit([200.0] * 6, settings) - 200.0 * 2.718281828 ** (-0.525)) < 1e-6
    assert hurried_limit([60.0] * 6, settings) == 50.0
    assert hurried_limit([400.0] * 4, settings) == 50.0
    assert hurried_limit([400.0] * 6, ScreenSettings(hurried_z=0.0)) == 50.0


def test_a_rater_much_faster_than_the_others_is_hurried_above_the_floor() -> None:
    settings = ScreenSettings()
    usual = [judge(f"r{r}", n, 3_000 + 200 * r, n % 2) for r in range(6) for n in range(10)]
    fast = [judge("fast", n, 800, n % 2) for n in range(10)]
    paces = rater_paces([*usual, *fast], SHOWN, settings)
    assert [name for name, pace in paces.items() if pace.hurried] == ["fast"]
