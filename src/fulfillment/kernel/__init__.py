"""Facts without I/O that every room shares: errors, ids, money, callers, pages."""
