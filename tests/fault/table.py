"""The table of what has been injected, in docs/RELIABILITY.md, from the file of results."""

import json
import os

BEGIN, END = "<!-- injected: begin -->", "<!-- injected: end -->"


def runs_of(path, at):
    """All runs of this version that the file has; none if there is no file."""
    if path is None or not path.exists():
        return []
    runs = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [run for run in runs if run["version"] == at]


def injected(runs, number):
    """How often the row was injected and everything kept."""
    return sum(run["injected"] for run in runs if (run["row"], run["outcome"]) == (number, "kept"))


def figures_text(figures):
    return ", ".join(f"{name} {min(values):.2f} to {max(values):.2f}" if len(values) > 1 else f"{name} {values[0]:.2f}"
                     for name, values in figures.items())


def merged(runs):
    figures = {}
    for run in runs:
        for name, values in run["figures"].items():
            figures.setdefault(name, []).extend(values)
    return figures


def line(row, column, runs):
    mine = [run for run in runs if run["row"] == row.number]
    broken = [run for run in mine if run["outcome"] == "broken"]
    unfit = sum(run["outcome"] == "unfit" for run in mine)
    found = "; ".join(f"seed {run['seed']}: {run['found'].splitlines()[0]}" for run in broken) or "nothing"
    if unfit:
        found += f" ({unfit} runs did not count)"
    cells = (row.number, row.what, f"{injected(mine, row.number):,} of {row.times[column]:,}", found.replace("|", "/"),
             figures_text(merged(mine)), f"{sum(run['seconds'] for run in mine) / 60:.0f} min",
             max(run["when"] for run in mine)[:10])
    return "| " + " | ".join(map(str, cells)) + " |"


def render(rows, column, runs, at):
    head = [f"Column `{column}`, source {at}, {os.cpu_count()} cores; `tests/run {column}` goes on with it and writes it.", "",
            "| # | fault | injected | found | measured | took | last |", "|---|---|---|---|---|---|---|"]
    return "\n".join(head + [line(row, column, runs) for row in rows if any(run["row"] == row.number for run in runs)])


def parts(document):
    """What stands before the table and behind it. ValueError if the document has no place for one."""
    whole = document.read_text(encoding="utf-8")
    if whole.count(BEGIN) != 1 or whole.count(END) != 1 or whole.index(BEGIN) > whole.index(END):
        raise ValueError(f"{document}: has no place for the table, from {BEGIN} to {END}")
    return whole[:whole.index(BEGIN)], whole[whole.index(END):]


def write(document, text):
    before, after = parts(document)
    document.write_text(f"{before}{BEGIN}\n{text}\n{after}", encoding="utf-8")
