"""fulfillment documents: what is printed, as PDF files."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fulfillment.cli.options import DatabaseUrl, DataDir, run
from fulfillment.infra.env import Env

app = App(name="documents", help="Print an order's or a batch's documents as PDF.")
Output = Annotated[Path | None, Parameter(name=["--output", "-o"], help="The file; default KIND-ID.pdf here.")]
OrderKind = Annotated[str, Parameter(help="packing-slip, pack-labels or shipping-label.")]
BatchKind = Annotated[str, Parameter(help="pick-list, packing-slips, pack-labels or labels.")]


@app.command
def order(
    order_id: str, kind: OrderKind, *, output: Output = None, data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """Print a document of one order."""
    from fulfillment.warehouse.service import printing

    wanted = printing.Kind(_known(kind, tuple(printing.Kind)))
    _write(
        lambda env, told: printing.order_document(env, order_id, wanted, told),
        output or Path(f"{kind}-{order_id}.pdf"),
        data_dir,
        database_url,
    )


@app.command
def batch(
    batch_id: str, kind: BatchKind, *, output: Output = None, data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """Print the documents of a whole batch into one file."""
    from fulfillment.warehouse.service import printing
    from fulfillment.warehouse.service.printing import Kind

    kinds = {
        "packing-slips": Kind.PACKING_SLIP,
        "pack-labels": Kind.PACK_LABELS,
        "labels": Kind.SHIPPING_LABEL,
    }
    known = _known(kind, ("pick-list", *kinds))

    async def draw(env: Env, told: Callable[[int, int], None]) -> bytes:
        if known == "pick-list":
            return await printing.pick_list_document(env, batch_id)
        return await printing.batch_document(env, batch_id, kinds[known], told)

    _write(draw, output or Path(f"{kind}-{batch_id}.pdf"), data_dir, database_url)


def _write(
    draw: Callable[[Env, Callable[[int, int], None]], Awaitable[bytes]],
    output: Path,
    data_dir: Path | None,
    database_url: str | None,
) -> None:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("Drawing", total=None)

        async def work(env: Env) -> bytes:
            return await draw(env, lambda done, total: shown.update(task, completed=done, total=total))

        content = run(work, data_dir, database_url)
    output.write_bytes(content)
    print(f"{output}: {len(content):,} bytes.")


def _known(kind: str, kinds: tuple[str, ...]) -> str:
    from fulfillment.kernel.errors import ValidationFailed

    if kind not in kinds:
        raise ValidationFailed(f"KIND is one of {', '.join(kinds)}.")
    return kind
