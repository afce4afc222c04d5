"""The demo catalogue is complete, consistent and right in its numbers."""

import json
import re
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

import fulfillment.catalog
from fulfillment.catalog.facts import FactsCode, Intake, ProductFacts, lint, panel_issues

SEED = Path(fulfillment.catalog.__file__).parent / "seed" / "products.jsonl"
PRODUCTS: list[dict[str, Any]] = [json.loads(line) for line in SEED.read_text("utf-8").splitlines()]
PACKED = [product for product in PRODUCTS if not product["external"]]
EXTERNAL = [product for product in PRODUCTS if product["external"]]
BY_ID = {product["id"]: product for product in PRODUCTS}
SLOTS = ("morning", "afternoon", "evening", "sleep")
FIELDS = {
    "id", "name", "description", "packDescription", "listPrice", "external", "productImage",
    "recommendedUsage", "form", "certifications", "allergens", "containsAllergens", "status", "searchTerms",
    "stimulant", "supplementFactsPanel", "stock", "pillsPerDayLimit",
}  # fmt: skip
MAJOR_ALLERGENS = {
    "milk", "egg", "fish", "crustacean_shellfish", "tree_nuts", "peanut", "wheat", "soy", "sesame",
}  # fmt: skip
CERTIFICATIONS = {"kosher", "halal", "non_gmo", "vegan", "vegetarian", "gmp", "nsf_sport"}

# 21 CFR 101.9(c)(8)(iv) and (c)(9), adults and children from four years: typed from the regulation, not
# taken from the code.
DAILY_VALUES = {
    "Total Fat": "78 g", "Saturated Fat": "20 g", "Cholesterol": "300 mg", "Total Carbohydrate": "275 g",
    "Dietary Fiber": "28 g", "Added Sugars": "50 g", "Vitamin A": "900 mcg RAE", "Vitamin C": "90 mg",
    "Vitamin D3": "20 mcg", "Vitamin E": "15 mg", "Vitamin K1": "120 mcg", "Vitamin K2": "120 mcg",
    "Thiamin": "1.2 mg", "Riboflavin": "1.3 mg", "Niacin": "16 mg NE", "Vitamin B6": "1.7 mg",
    "Folate": "400 mcg DFE", "Vitamin B12": "2.4 mcg", "Biotin": "30 mcg", "Pantothenic Acid": "5 mg",
    "Choline": "550 mg", "Calcium": "1300 mg", "Iron": "18 mg", "Iodine": "150 mcg", "Magnesium": "420 mg",
    "Zinc": "11 mg", "Selenium": "55 mcg", "Copper": "0.9 mg", "Manganese": "2.3 mg", "Chromium": "35 mcg",
    "Molybdenum": "45 mcg", "Chloride": "2300 mg", "Sodium": "2300 mg", "Potassium": "4700 mg",
}  # fmt: skip


def named(product: dict[str, Any]) -> str:
    """Return what a failing case is called."""
    return str(product["name"])


def facts_of(product: dict[str, Any]) -> ProductFacts:
    """Return the product as the rules see it."""
    return ProductFacts.of(
        product["supplementFactsPanel"],
        product_id=product["id"],
        name=product["name"],
        contains_allergens=product["containsAllergens"],
        free_from=product["allergens"],
        stimulant=product["stimulant"],
        external=product["external"],
    )


def test_there_are_at_least_64_packed_products_and_10_externals() -> None:
    """The catalogue holds at least 64 pack supplements and at least 10 externals."""
    assert len(PACKED) >= 64
    assert len(EXTERNAL) >= 10


def test_all_four_forms_and_statuses_occur() -> None:
    """Every form of the contract occurs among the packs, and every status; most products are active."""
    statuses = Counter(product["status"] for product in PRODUCTS)

    assert {product["form"] for product in PACKED} == {"tablet", "capsule", "softgel", "gummy"}
    assert set(statuses) == {"ACTIVE", "DRAFT", "BACKORDERED", "DISCONTINUED"}
    assert statuses["ACTIVE"] > len(PRODUCTS) * 0.8


def test_ids_and_names_are_unique() -> None:
    """No two products share an id or a name."""
    assert len(BY_ID) == len(PRODUCTS)
    assert len({product["name"] for product in PRODUCTS}) == len(PRODUCTS)


@pytest.mark.parametrize("product", PRODUCTS, ids=named)
def test_every_product_has_the_fields_in_shape(product: dict[str, Any]) -> None:
    """Each line has exactly the documented fields, in the documented types and vocabularies."""
    assert set(product) == FIELDS
    assert 10**10 <= product["id"] < 10**13
    assert re.fullmatch(r"\d+\.\d{2,4}", product["listPrice"])
    assert product["name"] == product["name"].strip()
    assert 40 < len(product["description"]) < 300
    assert product["description"].endswith(".")
    image = product["productImage"]
    assert image is None or image.startswith("https://images.juniperhealth.example/")
    assert set(product["certifications"]) <= CERTIFICATIONS
    assert set(product["containsAllergens"]) <= MAJOR_ALLERGENS
    assert all(claim.endswith("_free") for claim in product["allergens"])
    assert product["searchTerms"]
    assert isinstance(product["stimulant"], bool)
    assert product["stock"] >= 0
    limit = product["pillsPerDayLimit"]
    assert limit is None or limit >= sum(product["recommendedUsage"].values())


@pytest.mark.parametrize("product", PACKED, ids=named)
def test_a_packed_product_is_taken_in_whole_servings(product: dict[str, Any]) -> None:
    """The recommended pills a day are whole servings, and the panel counts in the product's form."""
    pills = [product["recommendedUsage"][slot] for slot in SLOTS]

    assert set(product["recommendedUsage"]) == set(SLOTS)
    assert sum(pills) > 0
    assert sum(pills) % product["supplementFactsPanel"]["servingSize"] == 0
    assert product["supplementFactsPanel"]["type"] == product["form"]


@pytest.mark.parametrize("product", EXTERNAL, ids=named)
def test_an_external_has_no_form_and_no_pills(product: dict[str, Any]) -> None:
    """An external has no form, no pills at any time of day, and is measured in scoops."""
    assert product["form"] is None
    assert product["recommendedUsage"] == dict.fromkeys(SLOTS, 0)
    assert product["supplementFactsPanel"]["type"] == "scoop"


@pytest.mark.parametrize("product", PRODUCTS, ids=named)
def test_every_daily_value_recomputes(product: dict[str, Any]) -> None:
    """Each percentage is the amount over the daily value, whole, half up; what has none says so."""
    for line in product["supplementFactsPanel"]["ingredients"]:
        name = re.sub(r"\s*\(.*", "", line["name"])
        if name in ("Calories", "Protein"):
            continue
        if name not in DAILY_VALUES:
            assert line["dailyValue"] == "**", line
            continue
        daily, unit = DAILY_VALUES[name].split(" ", 1)
        percent = Decimal(line["amount"]) * 100 / Decimal(daily)
        whole = percent.quantize(Decimal(1), ROUND_HALF_UP)

        assert line["unit"] == unit, line
        assert line["dailyValue"] == ("<1%" if percent < 1 else f"{whole}%"), line


def test_calories_have_no_percentage_and_protein_only_a_quality_corrected_one() -> None:
    """Calories carry no percentage; whey's protein is 50 % and collagen's 0 %, for its score is zero."""
    declared = {
        (product["name"], line["name"]): line["dailyValue"]
        for product in PRODUCTS
        for line in product["supplementFactsPanel"]["ingredients"]
        if line["name"] in ("Calories", "Protein")
    }

    assert {value for (_, name), value in declared.items() if name == "Calories"} == {None}
    assert {product: value for (product, name), value in declared.items() if name == "Protein" and value} == {
        "Grass-Fed Whey Isolate, Vanilla": "50%",
        "Collagen Peptides": "0%",
    }


@pytest.mark.parametrize("product", PRODUCTS, ids=named)
def test_no_label_has_an_issue(product: dict[str, Any]) -> None:
    """The import's own check finds nothing wrong with a label of the demo catalogue."""
    panel = facts_of(product).panel

    assert panel is not None
    assert panel_issues(panel) == ()


@pytest.mark.parametrize("product", PACKED, ids=named)
def test_no_product_alone_passes_an_upper_limit_or_comes_late(product: dict[str, Any]) -> None:
    """Taken as recommended, a product stays within the upper limits and no stimulant is for the evening."""
    warnings = lint([Intake(facts_of(product), **product["recommendedUsage"])])

    assert {warning.code for warning in warnings} <= {FactsCode.ALLERGENS_PRESENT}


def test_claims_and_contents_agree() -> None:
    """No product claims to be free from what it contains, and nothing vegan holds an animal's allergen."""
    denials = {
        "milk": "dairy_free", "egg": "egg_free", "fish": "fish_free",
        "crustacean_shellfish": "shellfish_free", "wheat": "gluten_free", "soy": "soy_free",
        "sesame": "sesame_free",
    }  # fmt: skip
    animal = {"milk", "egg", "fish", "crustacean_shellfish"}

    for product in PRODUCTS:
        for allergen in product["containsAllergens"]:
            assert denials.get(allergen) not in product["allergens"], product["name"]
        if "vegan" in product["certifications"]:
            assert not animal & set(product["containsAllergens"]), product["name"]
            others = " ".join(product["supplementFactsPanel"]["otherIngredients"]).casefold()
            assert not re.search(r"gelatin\b|beeswax|milk|collagen", others), product["name"]


def test_what_names_an_allergen_declares_it() -> None:
    """Fish, krill, shrimp, whey and soy in a list of ingredients are declared as allergens."""
    words = {
        "fish oil": "fish", "cod liver": "fish", "krill": "crustacean_shellfish",
        "shrimp": "crustacean_shellfish", "whey": "milk", "colostrum": "milk", "soy lecithin": "soy",
        "wheat": "wheat", "eggshell": "egg", "sesame": "sesame",
    }  # fmt: skip

    for product in PRODUCTS:
        panel = product["supplementFactsPanel"]
        text = " ".join([*panel["otherIngredients"], *(line["name"] for line in panel["ingredients"])]).casefold()
        for word, allergen in words.items():
            if word in text:
                assert allergen in product["containsAllergens"], (product["name"], word)


def test_caffeine_makes_a_stimulant() -> None:
    """Exactly the products whose panel lists caffeine are marked as stimulants."""
    for product in PRODUCTS:
        names = [line["name"] for line in product["supplementFactsPanel"]["ingredients"]]
        assert product["stimulant"] == any(name.startswith("Caffeine") for name in names), product["name"]


def test_no_description_speaks_of_a_disease() -> None:
    """Descriptions stay with structure and function: no verb of healing and no disease."""
    forbidden = re.compile(
        r"\b(cures?|treats?|heals?|prevents?|diagnos\w+|diabet\w+|cancer|arthritis|depression|hypertension|"
        r"alzheimer\w*|infections?|influenza|flu|anxiety|insomnia|asthma|osteoporosis|anemia)\b",
        re.IGNORECASE,
    )

    for product in PRODUCTS:
        text = " ".join([product["description"], *product["searchTerms"]])
        assert not forbidden.search(text), product["name"]


def test_elite_epa_is_the_fish_oil_of_the_contract() -> None:
    """77123129891 is Elite EPA: a fish oil softgel at 0.53 dollars, found as fish oil and as omega."""
    elite = BY_ID[77123129891]

    assert (elite["name"], elite["listPrice"], elite["form"]) == ("Elite EPA", "0.53", "softgel")
    assert (elite["status"], elite["containsAllergens"]) == ("ACTIVE", ["fish"])
    assert {"fish oil", "omega 3", "EPA"} <= set(elite["searchTerms"])
    assert elite["recommendedUsage"] == {"morning": 1, "afternoon": 0, "evening": 1, "sleep": 0}


def test_same_is_there() -> None:
    """7184241754206 is SAMe and can be ordered."""
    assert (BY_ID[7184241754206]["name"], BY_ID[7184241754206]["status"]) == ("SAMe", "ACTIVE")


def test_fish_oils_are_found_by_their_words() -> None:
    """At least five fish oils carry "fish oil" and an omega term; a vegan and a krill omega exist too."""
    fish_oils = [
        product
        for product in PRODUCTS
        if any("fish oil" in term for term in product["searchTerms"])
        and any("omega" in term for term in product["searchTerms"])
    ]

    assert len(fish_oils) >= 5
    assert all("fish" in product["containsAllergens"] for product in fish_oils)
    names = {product["name"]: product for product in PRODUCTS}
    assert "vegan" in names["Algae Omega"]["certifications"]
    assert names["Antarctic Krill Oil"]["containsAllergens"] == ["crustacean_shellfish"]
