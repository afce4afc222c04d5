"""schema.sql is the whole schema as migrated, for one read: `python -m tests.house.test_schema` writes it."""

import shutil
import tempfile
from pathlib import Path
from typing import Final

from fulfillment.infra import migrate
from fulfillment.infra.postgres import EmbeddedPostgres

FILE: Final = migrate.MIGRATIONS / "schema.sql"


def schema_of(dsn: str, folder: Path) -> str:
    """Return the schema of a database, without the versions of the tools that wrote it down."""
    migrate.dump_schema(dsn, folder / "schema.sql")
    lines = (folder / "schema.sql").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("-- Dumped ", "\\restrict", "\\unrestrict")))


def test_the_schema_is_all_migrations(dsns: tuple[str, str], tmp_path: Path) -> None:
    """A database that was migrated from nothing has the schema of schema.sql."""
    assert schema_of(dsns[1], tmp_path) == FILE.read_text(), "run: python -m tests.house.test_schema"


def main() -> None:
    """Write schema.sql."""
    folder = Path(tempfile.mkdtemp(prefix="jf-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder, echo=lambda _: None)
    server.start(60)
    try:
        migrate.up(server.owner_dsn)
        FILE.write_text(schema_of(server.owner_dsn, folder))
    finally:
        server.erase()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
