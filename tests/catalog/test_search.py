"""The search: which words match, in which order, and what it finds in a catalogue."""

import pytest

from fulfillment.catalog import search, service
from fulfillment.catalog.domain import ProductQuery, ProductStatus
from fulfillment.infra.db import ALL_TENANTS
from fulfillment.infra.env import Env
from fulfillment.inventory.offers import NEIGHBOURS
from fulfillment.kernel.callers import Caller
from fulfillment.kernel.pages import Direction, PageRequest
from tests.conftest import Clock
from tests.world import World

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Omega-3 Fish Oil", ["omega", "3", "fish", "oil"]),
        ("Açaí Berry", ["acai", "berry"]),
        ("Probiotics", ["probiotic"]),
        ("Bacillus Swiss Proteosis", ["bacillus", "swiss", "proteosis"]),
        ("GAS", ["gas"]),
        ("５-HTP", ["5", "htp"]),
        ("a_b", ["a", "b"]),
        ("!!! ---", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    """Words are lower case, without accents, in the singular where that is plain."""
    assert search.words_of(text) == words


def test_query_keeps_telling_words() -> None:
    """Little words are left out, a word counts once, and eight are enough."""
    assert search.query_words("Oil of the fish oil") == ("oil", "fish")
    assert search.query_words("a b c d e f g h i j k l") == ("b", "c", "d", "e", "f", "g", "h", "i")
    assert search.query_words("for the") == ("for", "the")


@pytest.mark.parametrize(
    ("left", "right", "slips"),
    [
        ("omega", "omega", 0),
        ("omgea", "omega", 1),
        ("magnesum", "magnesium", 1),
        ("tumeric", "turmeric", 1),
        ("aswaganda", "ashwagandha", 2),
        ("", "oil", 3),
        ("zinc", "iron", 4),
    ],
)
def test_distance(left: str, right: str, slips: int) -> None:
    """A letter missing, too many, wrong, or two neighbours swapped, is one slip each."""
    assert search.distance(left, right) == slips
    assert search.distance(right, left) == slips


@pytest.mark.parametrize(
    ("word", "candidates", "taken"),
    [
        ("omgea", ["omega", "mega", "amega"], {"omega"}),
        ("zicn", ["zinc", "iron"], {"zinc"}),
        ("epo", ["epa"], set[str]()),
        ("12345", ["12346"], set[str]()),
        ("omogo", ["omega"], set[str]()),
        ("rhodeolla", ["rhodiola", "rhodium"], {"rhodiola"}),
    ],
)
def test_corrections(word: str, candidates: list[str], taken: set[str]) -> None:
    """The nearest words are taken, within one slip from four letters on and two from seven on; never a number."""
    assert {span.first for span in search.corrections(0, word, candidates)} == taken


def test_costs_of_places() -> None:
    """A word in the name costs less than one in the terms, and that less than one in the ingredients."""
    costs = search.product_words("Elite EPA", ["fish oil", "elite"], ["Oil of the fish", "Gelatin"])

    assert costs == {"elite": 2, "epa": 2, "fish": 1002, "oil": 1002, "gelatin": 2002}


@pytest.fixture
async def caller(env: Env, world: World) -> Caller:
    """A partner, in a catalogue without words: what earlier tests made is not found."""
    async with env.db.transaction(ALL_TENANTS) as tx:
        await tx.execute("DELETE FROM product_words")
        await tx.execute("DELETE FROM product_vocabulary")
    env.caches.drop("catalog")
    return await world.partner()


async def _found(env: Env, caller: Caller, text: str, page: PageRequest | None = None) -> list[str]:
    query = ProductQuery(page or PageRequest(20), search=text)
    return [_name(offer.frozen.head) for offer in (await service.list_products(env, caller, query, NEIGHBOURS)).items]


def _name(head: str) -> str:
    return head.split('"name":"')[1].split('"')[0]


def _facts(*ingredients: str) -> dict[str, object]:
    lines = [{"name": name, "amount": "1", "unit": "mg", "dailyValue": "**"} for name in ingredients]
    return {"servingSize": 1, "type": "softgel", "otherIngredients": ["Glycerin"], "ingredients": lines}


@pytest.mark.parametrize("text", ["omega", "omgea", "OMEGA", "omegas", "omeg", "omga"])
async def test_finds_in_spite_of_slips(env: Env, world: World, caller: Caller, text: str) -> None:
    """A word is found in any case, in the plural, by its beginning, and with a slip."""
    await world.product(name="Omega-3 Gummies")
    await world.product(name="Zinc 50")

    assert await _found(env, caller, text) == ["Omega-3 Gummies"]


async def test_best_first(env: Env, world: World, caller: Caller) -> None:
    """The name counts more than the terms, those more than the ingredients; a short name more than a long one."""
    await world.product(name="Evening Primrose", facts=_facts("Fish oil"))
    await world.product(name="Elite EPA", search_terms=("fish oil",))
    await world.product(name="Fish Oil with Vitamin D")
    await world.product(name="Fish Oil")
    await world.product(name="Fishermans Oilskin")

    assert await _found(env, caller, "fish oil") == [
        "Fish Oil",
        "Fish Oil with Vitamin D",
        "Fishermans Oilskin",
        "Elite EPA",
        "Evening Primrose",
    ]


async def test_all_words_must_match(env: Env, world: World, caller: Caller) -> None:
    """A product that answers one of two words is not found."""
    await world.product(name="Fish Oil")
    await world.product(name="Flax Oil")

    assert await _found(env, caller, "flax oil") == ["Flax Oil"]
    assert await _found(env, caller, "flax oil capsules") == []


async def test_known_word_is_not_corrected(env: Env, world: World, caller: Caller) -> None:
    """Where the catalogue knows the word, its neighbours by spelling are not meant."""
    await world.product(name="Folic Acid")
    await world.product(name="Frolic Drink")

    assert await _found(env, caller, "folic") == ["Folic Acid"]


async def test_numbers_are_exact(env: Env, world: World, caller: Caller) -> None:
    """A number is not the beginning of another, and a single letter goes on only with a number."""
    await world.product(name="Vitamin D3")
    await world.product(name="Vitamin DHA 300")

    assert await _found(env, caller, "vitamin d") == ["Vitamin D3"]
    assert await _found(env, caller, "3") == []
    assert await _found(env, caller, "300") == ["Vitamin DHA 300"]


@pytest.mark.parametrize("text", ["xylophone", "!!!", "…", "omega xylophone"])
async def test_no_match_is_an_empty_list(env: Env, world: World, caller: Caller, text: str) -> None:
    """What nothing answers finds nothing."""
    await world.product(name="Omega-3 Gummies")

    assert await _found(env, caller, text) == []


async def test_blank_search_lists_all(env: Env, world: World, caller: Caller, clock: Clock) -> None:
    """A blank search is none: the list is newest first."""
    clock.move(hours=1)
    await world.product(name="Newest")

    assert await _found(env, caller, "  ", PageRequest(1)) == ["Newest"]


async def test_renamed_product_is_found_by_its_new_name_only(env: Env, world: World, caller: Caller) -> None:
    """A change takes the old words away, from the vocabulary too."""
    product = await world.product(name="Sunflower Caps", search_terms=())
    await world.product(product, name="Moonflower Caps", search_terms=())

    assert await _found(env, caller, "sunflower") == []
    assert await _found(env, caller, "moonflower") == ["Moonflower Caps"]
    async with env.db.reading(ALL_TENANTS) as tx:
        words = [row["word"] for row in await tx.all("SELECT word FROM product_vocabulary ORDER BY word")]
    assert words == ["cap", "moonflower"]


async def test_word_of_another_product_stays(env: Env, world: World, caller: Caller) -> None:
    """A word that one product loses is still known while another has it."""
    first = await world.product(name="Ginkgo One")
    await world.product(name="Ginkgo Two")
    await world.product(first, name="Biloba One")

    assert await _found(env, caller, "gingko") == ["Ginkgo Two"]


async def test_search_pages_are_seamless(env: Env, world: World, caller: Caller) -> None:
    """Pages of a search meet without gap or repeat, forward and back, through equal ranks."""
    made = [await world.product(name=f"Zinc Caps {place}") for place in range(7)]

    seen: list[str] = []
    after: tuple[str, ...] | None = None
    for size in (3, 3, 1):
        page = await service.list_products(
            env, caller, ProductQuery(PageRequest(3, after=after), search="zinc"), NEIGHBOURS
        )
        assert len(page.items) == size
        seen += [_name(offer.frozen.head) for offer in page.items]
        after = page.next

    assert after is None
    assert seen == [f"Zinc Caps {place}" for place in range(7)]
    back = PageRequest(2, Direction.PREVIOUS, ("3", str(made[4])))
    assert await _found(env, caller, "zinc", back) == ["Zinc Caps 2", "Zinc Caps 3"]


async def test_filters_apply_to_a_search(env: Env, world: World, caller: Caller) -> None:
    """A status narrows what a search finds."""
    await world.product(name="Zinc One")
    await world.product(name="Zinc Two", status="DRAFT")

    query = ProductQuery(PageRequest(10), ProductStatus.DRAFT, search="zinc")
    page = await service.list_products(env, caller, query, NEIGHBOURS)

    assert [_name(offer.frozen.head) for offer in page.items] == ["Zinc Two"]


async def test_searches_are_remembered_until_the_catalogue_changes(env: Env, world: World, caller: Caller) -> None:
    """A search asked again needs no look-up; a new product is found all the same."""
    await world.product(name="Selenium One")
    assert await _found(env, caller, "selenium") == ["Selenium One"]
    async with env.db.transaction(ALL_TENANTS) as tx:
        await tx.execute("UPDATE product_words SET word = word || 'x' WHERE word = 'selenium'")
    assert await _found(env, caller, "Selenium!") == ["Selenium One"]

    await world.product(name="Selenium Two")

    assert await _found(env, caller, "selenium") == ["Selenium Two", "Selenium One"]
