"""Tables as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io

from dlcli.cli.table_formats import format_table

HOSTILE = r"a|b," "c" + '"d"' + r" 50 % & _x_ #1 $2 {y} ~z ^2 \n *w* <u>"


def test_markdown_escapes_what_would_end_a_cell_or_format_it() -> None:
    lines = format_table(["", "relu"], [[HOSTILE, "★ 0.9"]], "md").splitlines()
    assert lines[:2] == ["|  | relu |", "| --- | ---: |"]
    assert lines[2] == r"| a\|b,c" + '"d"' + r" 50 % & \_x\_ #1 $2 {y} ~z ^2 \\n \*w\* \<u\> | ★ 0.9 |"


def test_csv_is_read_back_unchanged() -> None:
    table = [["", "relu"], [HOSTILE, "two\nlines"]]
    assert list(csv.reader(io.StringIO(format_table(table[0], table[1:], "csv")))) == table


def test_latex_escapes_every_special_character() -> None:
    text = format_table(["", "relu"], [[HOSTILE, "★ 0.9"], ["≈", "–"]], "tex")
    assert text.splitlines() == [
        r"\begin{tabular}{lr}",
        r"  \toprule",
        r"   & relu \\",
        r"  \midrule",
        r"  a|b,c"
        + '"d"'
        + r" 50 \% \& \_x\_ \#1 \$2 \{y\} \textasciitilde{}z \textasciicircum{}2 \textbackslash{}n *w*"
        + r" \textless{}u\textgreater{} & $\star$ 0.9 \\",
        r"  $\approx$ & -- \\",
        r"  \bottomrule",
        r"\end{tabular}",
    ]
