#!/usr/bin/env python3
"""The table of what was injected: counted by row and source, and put between the document's marks."""

import json
import pathlib
import sys
import tempfile
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import table  # noqa: E402  (found by the path above)

ROWS = [types.SimpleNamespace(number=number, what=f"fault {number}", times={"release": 1_000}) for number in (1, 2, 3)]


def run(row, injected, outcome="kept", at="new", **more):
    return {"row": row, "injected": injected, "outcome": outcome, "version": at, "seed": 7, "found": "", "seconds": 90,
            "figures": {"again after s": [float(injected)]}, "when": "2026-12-01T05:00:00Z", **more}


class TableTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.results = pathlib.Path(folder.name) / "results"
        self.document = pathlib.Path(folder.name) / "document"

    def test_what_is_counted(self):
        runs = [run(1, 10), run(1, 5), run(1, 10, at="old"), run(1, 10, outcome="broken", found="a | b\nmore"), run(2, 1, outcome="unfit")]
        self.results.write_text("".join(json.dumps(one) + "\n" for one in runs), encoding="utf-8")
        mine = table.runs_of(self.results, "new")
        self.assertEqual(len(mine), 4)
        self.assertEqual(table.injected(mine, 1), 15)
        self.assertEqual(table.injected(mine, 2), 0)
        lines = table.render(ROWS, "release", mine, "new").splitlines()
        self.assertEqual(lines[-2], "| 1 | fault 1 | 15 of 1,000 | seed 7: a / b | again after s 5.00 to 10.00 | 4 min | 2026-12-01 |")
        self.assertIn("| 2 | fault 2 | 0 of 1,000 | nothing (1 runs did not count) |", lines[-1])
        self.assertEqual(table.runs_of(self.results.with_name("none"), "new"), [])

    def test_where_it_is_put(self):
        self.document.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nbehind\n", encoding="utf-8")
        table.write(self.document, "new")
        table.write(self.document, "newer")
        self.assertEqual(self.document.read_text(encoding="utf-8"), f"before\n{table.BEGIN}\nnewer\n{table.END}\nbehind\n")
        for bad in ("", f"{table.END}{table.BEGIN}", table.BEGIN * 2 + table.END):
            self.document.write_text(bad, encoding="utf-8")
            with self.assertRaises(ValueError):
                table.parts(self.document)


if __name__ == "__main__":
    unittest.main()
