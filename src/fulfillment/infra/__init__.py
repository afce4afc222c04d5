"""I/O that knows no domain: settings, database, HTTP, secrets, logs, metrics."""
