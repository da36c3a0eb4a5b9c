"""``wiretrace why``: what went wrong in a case, the answer first."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("why")
@click.argument("case_path", metavar="CASE", type=click.Path(path_type=Path, readable=False))
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON document.")
@click.option(
    "--slo",
    "slo_path",
    metavar="FILE",
    type=click.Path(path_type=Path, readable=False),
    help="Judge the requests by the objectives in this TOML file; exit status 1 where one is missed.",
)
def command(case_path: Path, as_json: bool, slo_path: Path | None) -> int:
    """Say what went wrong in a case: the answer, what it rests on, and what was cleared.

    Findings are numbered by impact; 'wiretrace explain CODE' tells about each kind.
    """
    from wiretrace.case.reader import Case
    from wiretrace.diagnosis.answer import answer_of

    objectives = None
    if slo_path is not None:
        from wiretrace.diagnosis.objectives import read_objectives

        objectives = read_objectives(slo_path)
    case = Case.open(case_path)
    answer = answer_of(case)
    verdicts = []
    if objectives is not None:
        from wiretrace.diagnosis.measured import Measured
        from wiretrace.diagnosis.objectives import judge
        from wiretrace.diagnosis.observed import Observed

        verdicts = judge(Measured(Observed(case)), objectives)
    if as_json:
        import msgspec

        document = msgspec.to_builtins(answer) | ({"objectives": msgspec.to_builtins(verdicts)} if verdicts else {})
        click.echo(msgspec.json.encode(document))
    else:
        from wiretrace.cli.terminal.answer import print_answer, print_verdicts
        from wiretrace.cli.terminal.console import output

        print_answer(output(), answer, str(case_path))
        if verdicts:
            print_verdicts(output(), verdicts)
    return 0 if all(each.met for each in verdicts) else 1
