"""The catalogue, and the ways to ship."""

from datetime import date

from ..calls import Call, get, list_of, operation, page_of, paged, segment
from ..models import Page, Product, ProductStatus, ShippingMethod
from .orders import Direction


class Catalog:
    """Operations on products and shipping methods."""

    @operation
    def list_products(
        self,
        *,
        search: str | None = None,
        status: ProductStatus | str | None = None,
        updated_after: date | str | None = None,
        updated_before: date | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        direction: Direction | None = None,
    ) -> Call[Page[Product]]:
        """Return one page of products at your price; *search* is fuzzy, and puts the best first."""
        params = {
            "search": search,
            "status": status,
            "updatedAfter": updated_after,
            "updatedBefore": updated_before,
            "limit": limit,
            "cursor": cursor,
            "direction": direction,
        }
        return get("listProducts", "/products", page_of(Product.from_wire, "products"), **params)

    @paged
    def iter_products(
        self,
        *,
        search: str | None = None,
        status: ProductStatus | str | None = None,
        updated_after: date | str | None = None,
        updated_before: date | str | None = None,
        limit: int | None = None,
    ) -> Call[Page[Product]]:
        """Go through all products, *limit* a page."""
        params = {
            "search": search,
            "status": status,
            "updatedAfter": updated_after,
            "updatedBefore": updated_before,
            "limit": limit,
        }
        return get("listProducts", "/products", page_of(Product.from_wire, "products"), **params)

    @operation
    def get_product_by_id(self, product_id: int) -> Call[Product]:
        """Return a product.

        Raises:
            NotFound: There is no such product.
        """
        return get("getProductById", f"/products/{segment(product_id)}", Product.from_wire)

    @operation
    def list_shipping_methods(self) -> Call[tuple[ShippingMethod, ...]]:
        """Return every way to ship, and its price."""
        return get("listShippingMethods", "/shipping-methods", list_of(ShippingMethod.from_wire, "methods"))
