"""`handrail completion`: what makes a shell complete our words."""

from __future__ import annotations

import click

from handrail.core.errors import HandrailError, listed
from handrail.faces.cli.options import shared
from handrail.faces.cli.printing import put_json

WHERE = {
    "bash": 'eval "$(handrail completion bash)"    in ~/.bashrc',
    "zsh": 'eval "$(handrail completion zsh)"    in ~/.zshrc',
    "fish": "handrail completion fish | source    in ~/.config/fish/config.fish",
}


@click.command("completion", epilog="Example: handrail completion bash >> ~/.bashrc")
@click.argument("shell")
@shared
def command(shell: str, as_json: bool) -> None:
    """Print what makes SHELL (bash, zsh or fish) complete verbs and options."""
    from click.shell_completion import get_completion_class

    from handrail.faces.cli import group

    kind = get_completion_class(shell)
    if kind is None:
        raise HandrailError("usage", f"'{shell[:60]}' is no shell that is known", f"the shells: {listed(WHERE)}")
    script = kind(group, {}, "handrail", "_HANDRAIL_COMPLETE").source().rstrip("\n")
    if as_json:
        put_json({"shell": shell, "script": script})
    else:
        print(script)
