"""gpu.json → gpu.md: what a person reads first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def written(whole: dict[str, Any]) -> str:
    """Return the report of a run as Markdown."""
    steps = whole["steps"]
    checks = [check for step in steps for check in step.get("checks", ())]
    missed = [check for check in checks if not check["ok"]]
    lines = ["# On a GPU" if not whole["dry"] else "# A trial on the CPU: no figure here means anything", ""]
    lines += [
        f"{len(steps)} steps in {whole['wall_s']:.0f} s; {len(checks) - len(missed)} of {len(checks)} checks kept."
    ]
    lines += ["", "| step | end | s | checks |", "| --- | --- | --- | --- |"]
    for step in steps:
        own = step.get("checks", ())
        lines.append(f"| {step['step']} | {step['end']} | {step['seconds']} | {sum(c['ok'] for c in own)}/{len(own)} |")
    if missed:
        lines += ["", "## Missed", "", *(f"- {check['check']}: {check['found']}" for check in missed)]
    errors = [(step["step"], error) for step in steps for error in step.get("errors", ())]
    if errors:
        lines += ["", "## Failed", "", *(f"- {name}, {error['part']}: {error['error']}" for name, error in errors)]
    for step in steps:
        lines += ["", f"## {step['step']}", ""]
        lines += [f"- {name}: {value}" for name, value in step.get("facts", {}).items()]
        for name, rows in step.get("tables", {}).items():
            lines += ["", f"**{name}**", "", *_table(rows)]
        lines += [
            "",
            *(f"- {'kept' if c['ok'] else 'MISSED'}: {c['check']}: {c['found']}" for c in step.get("checks", ())),
        ]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    header = list(dict.fromkeys(name for row in rows for name in row))
    found = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return [*found, *("| " + " | ".join(str(row.get(name, "")) for name in header) + " |" for row in rows)]
