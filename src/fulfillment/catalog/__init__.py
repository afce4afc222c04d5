"""The catalogue: products, their facts panels, prices and search. Owns the table `products`."""
