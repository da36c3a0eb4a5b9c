"""``wiretrace explain``: what a kind of finding means, why it matters, and when it is a false alarm."""

from __future__ import annotations

import click

from wiretrace.model.errors import UsageError


@click.command("explain")
@click.argument("code", metavar="[CODE]", required=False)
def command(code: str | None) -> None:
    """Explain a kind of finding by its code; without a code, list them all."""
    from rich.text import Text

    from wiretrace.cli.terminal.console import output, print_heading, print_line, print_paragraph
    from wiretrace.diagnosis.rules.contract import HEADINGS
    from wiretrace.diagnosis.rules.registry import known_rules

    console, rules = output(), known_rules()
    if code is None:
        width = max(map(len, rules))
        for name, rule in rules.items():
            print_line(console, Text(f"{name:<{width}}  {rule.title}"))
        return
    if code not in rules:
        raise UsageError(f"{code}: no rule has this code; 'wiretrace explain' lists them")
    print_paragraph(console, f"{code}: {rules[code].title}", style="bold")
    for heading, part in HEADINGS.items():
        print_heading(console, heading)
        print_paragraph(console, getattr(rules[code].page, part), 2)
