"""``distconf settings``."""

import json
from dataclasses import asdict

import click

from distributed_config.settings import Row, load, table


@click.command()
@click.option("--output", type=click.Choice(["table", "json", "markdown"]), default="table")
def command(output: str) -> None:
    """Show every setting, its value and its source. Secrets are masked."""
    rows = table(load())
    if output == "json":
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    elif output == "markdown":
        click.echo(markdown(rows))
    else:
        width = max(len(row.name) for row in rows)
        values = max(len(row.value) for row in rows)
        for row in rows:
            click.echo(f"{row.name:{width}}  {row.value:{values}}  {row.source:11}  {row.help}")


def markdown(rows: list[Row]) -> str:
    """Return the table of the manual."""
    lines = ["| setting | type | default | |", "|---|---|---|---|"]
    for row in rows:
        kind = row.type.replace("|", "\\|")
        default = f"`{row.default}`" if row.default else ""
        lines.append(f"| `{row.name}` | {kind} | {default} | {row.help} |")
    return "\n".join(lines)
