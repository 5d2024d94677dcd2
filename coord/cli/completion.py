"""`coord completion`: what makes a shell complete commands, options and paths of znodes."""

from typing import Final

import click
from click.shell_completion import get_completion_class

SHELLS: Final = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, *, shell: str) -> None:
    """Print what makes a shell complete `coord`; paths are completed from the cluster of COORD_SERVERS.

    \b
        bash   echo 'eval "$(coord completion bash)"' >> ~/.bashrc
        zsh    echo 'eval "$(coord completion zsh)"' >> ~/.zshrc
        fish   coord completion fish > ~/.config/fish/completions/coord.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows all shells that we offer"
    click.echo(kind(ctx.find_root().command, {}, "coord", "_COORD_COMPLETE").source())
