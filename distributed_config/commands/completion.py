"""``distconf completion``."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the set-up for completion, as in: eval "$(distconf completion bash)"."""
    kind = get_completion_class(shell)
    assert kind is not None  # the choices are click's own
    root = context.find_root().command
    click.echo(kind(root, {}, "distconf", "_DISTCONF_COMPLETE").source())
