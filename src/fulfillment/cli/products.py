"""fulfillment products: the catalogue, at the partner's price."""

from itertools import islice

from cyclopts import App

from fulfillment.cli.options import AsJson, print_fields, print_json, print_table
from fulfillment.cli.profiles import Profile, connect
from fulfillment.cli.shown import Limit, money

app = App(name="products", help="Products: search, show.")


@app.command
def search(
    *words: str,
    status: str | None = None,
    limit: Limit = 20,
    json: AsJson = False,
    profile: Profile = None,
) -> None:
    """Search products by name, ingredient or use; typos are forgiven, the best come first. Without words: all."""
    with connect(profile) as juniper:
        pages = juniper.iter_products(search=" ".join(words) or None, status=status, limit=min(max(limit, 1), 100))
        found = list(islice(pages, limit))
    if json:
        print_json([product.raw for product in found])
        return
    rows = [
        (
            product.id,
            product.name,
            "external" if product.external else product.form,
            money(product.price),
            str(product.status),
            f"{product.inventory.available} {product.inventory.unit}s" if product.inventory else "",
        )
        for product in found
    ]
    print_table("Products", ("id", "name", "form", "price", "status", "available"), rows)


@app.command
def show(product_id: int, *, json: AsJson = False, profile: Profile = None) -> None:
    """Show a product."""
    with connect(profile) as juniper:
        product = juniper.get_product_by_id(product_id)
    if json:
        print_json(product.raw)
        return
    usage = product.recommended_usage
    fields: dict[str, object] = {
        "Product": product.id,
        "Name": product.name,
        "Description": product.description,
        "Price": money(product.price),
        "Status": str(product.status),
        "Form": "external" if product.external else product.form,
        "Pack": product.pack_description,
        "Usage": f"{usage.morning} morning, {usage.afternoon} afternoon, {usage.evening} evening, {usage.sleep} sleep"
        if usage
        else None,
        "Certifications": ", ".join(product.certifications),
    }
    print_fields({name: value for name, value in fields.items() if value})
