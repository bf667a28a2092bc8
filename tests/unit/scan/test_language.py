import pytest

from backstay.scan import View
from backstay.scan.language import LanguageScanner, language_of, languages

SENTENCES = {
    "en": "The children were playing in the garden when it began to rain, and they did not want to come in.",
    "de": "Die Kinder spielten im Garten, als es zu regnen begann, und sie wollten nicht in das Haus kommen.",
    "fr": "Les enfants jouaient dans le jardin quand il a commencé à pleuvoir et ils ne voulaient pas rentrer.",
    "es": "Los niños jugaban en el jardín cuando empezó a llover y no querían entrar en la casa.",
    "it": "I bambini giocavano nel giardino quando ha cominciato a piovere e non volevano entrare in casa con la mamma.",
    "pt": "As crianças estavam a brincar no jardim quando começou a chover e não queriam entrar na casa.",
    "nl": "De kinderen speelden in de tuin toen het begon te regenen en ze wilden niet naar binnen.",
    "sv": "Barnen lekte i trädgården när det började regna och de ville inte gå in till mamma.",
    "fi": "Lapset leikkivät puutarhassa kun alkoi sataa, ja he eivät halunneet sisään, mutta se ei ole niin paha.",
    "pl": "Dzieci bawiły się w ogrodzie, kiedy zaczęło padać, i nie chciały wejść do domu, ale to nie jest ważne.",
    "cs": "Děti si hrály na zahradě, když začalo pršet, a nechtěly jít domů, ale není to tak zlé.",
    "ro": "Copiii se jucau în grădină când a început să plouă și nu au vrut să intre în casă.",
    "hu": "A gyerekek a kertben játszottak, amikor elkezdett esni az eső, és nem akartak bemenni, de ez nem baj.",
    "tr": "Çocuklar bahçede oynuyordu ve yağmur başladı ama eve girmek için bir neden yoktu, bu çok güzel.",
    "id": "Anak-anak bermain di kebun ketika hujan mulai turun dan mereka tidak ingin masuk ke dalam rumah itu.",
    "vi": "Những đứa trẻ đang chơi trong vườn khi trời mưa và không muốn vào nhà cho người lớn.",
    "ru": "Дети играли в саду, когда пошёл дождь, и они не хотели идти в дом, но это не так плохо.",
    "uk": "Діти гралися в саду, коли пішов дощ, і вони не хотіли йти до хати, але це не так погано.",
    "el": "Τα παιδιά έπαιζαν στον κήπο όταν άρχισε να βρέχει.",
    "ar": "كان الأطفال يلعبون في الحديقة عندما بدأ المطر.",
    "fa": "بچه‌ها در باغ بازی می‌کردند که باران گرفت و پدر گفت چای بخورند.",
    "he": "הילדים שיחקו בגינה כשהתחיל לרדת גשם.",
    "hi": "बच्चे बगीचे में खेल रहे थे जब बारिश शुरू हुई।",
    "ja": "雨が降り始めたとき、子供たちは庭で遊んでいました。",
    "zh": "下雨的时候孩子们正在花园里玩耍。",
    "ko": "비가 오기 시작했을 때 아이들은 정원에서 놀고 있었다.",
    "th": "เด็กๆ กำลังเล่นอยู่ในสวนเมื่อฝนเริ่มตก",
}


@pytest.mark.parametrize("code", SENTENCES)
def test_a_sentence_is_known(code: str) -> None:
    assert language_of(SENTENCES[code]).code == code and code in languages()


@pytest.mark.parametrize(
    "text",
    ["", "ok", "def total(items): return sum(item.price for item in items)", "Anna Meyer, Paris, 2024, Toyota Yaris Hybrid",
     SENTENCES["en"] + SENTENCES["ru"], SENTENCES["en"] + " " + SENTENCES["de"], "0123456789" * 10,
     "Lorem ipsum dolor sit amet consectetur adipiscing elit"],
)  # fmt: skip
def test_what_cannot_be_told_is_not_guessed(text: str) -> None:
    assert language_of(text).code is None


def test_the_scanner_finds_what_is_not_allowed() -> None:
    scanner = LanguageScanner(allowed=frozenset({"en", "de"}))
    kinds = {code: [finding.kind for finding in scanner.scan(View.of(text))] for code, text in SENTENCES.items()}
    assert kinds["en"] == kinds["de"] == [] and kinds["fr"] == kinds["ja"] == ["other_language"]
    assert [f.kind for f in scanner.scan(View.of(SENTENCES["en"] + SENTENCES["ru"]))] == ["unknown_language"]
    assert scanner.scan(View.of("ok")) == ()
