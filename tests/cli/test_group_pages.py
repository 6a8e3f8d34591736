"""Text about groups of seeds."""

from __future__ import annotations

import pytest
from groups import make_group

from dlcli.cli.compare_groups import comparison_page
from dlcli.cli.group import group_page
from dlcli.cli.output import print_result
from dlcli.evaluation.group_comparison import compare_groups
from dlcli.text import PAGE, width_of

GROUP = """\
group     runs/digits/20261128T0825-ab12
seeds     0 to 9
status    finished; 1 of 10 seeds diverged (3)
time      14.2 s

                     mean ± sd     95 % interval   least  median    most
test/accuracy  0.9494 ± 0.0081  0.9432 to 0.9556  0.9389  0.9500  0.9639
test/loss        0.201 ± 0.020    0.186 to 0.216   0.164   0.203   0.227
val/accuracy   0.9481 ± 0.0065  0.9431 to 0.9532  0.9361  0.9500  0.9583
val/loss         0.205 ± 0.016    0.192 to 0.218   0.179   0.200   0.235
train/loss     0.1025 ± 0.0082  0.0962 to 0.1089  0.0895  0.1000  0.1174

test/accuracy by seed
  0  0.9500      1  0.9556      2  0.9444      3  diverged    4  0.9472
  5  0.9389      6  0.9639      7  0.9528      8  0.9389      9  0.9528

test/accuracy is 0.9494 on average over 9 seeds; one seed differs from this by
about 0.0081 (standard deviation, with n−1). With 95 % confidence, the mean over
all possible seeds lies between 0.9432 and 0.9556.
1 of 10 seeds diverged (3): the numbers above leave them out, and are those of 9
seeds.
Apart from the seeds, 360 test examples determine the value of one model only up
to chance: that of the median model (seed 0), 0.9500, has the 95 % interval
0.9224 to 0.9681.
"""
COMPARISON = """\
sigmoid  runs/digits/20261128T0825-ab12
relu     runs/digits/x

setting           sigmoid  relu
model.activation  sigmoid  relu

metric                 sigmoid             relu        difference
test/loss        0.201 ± 0.020    0.240 ± 0.036    -0.035 ± 0.024
test/accuracy  0.9494 ± 0.0081    0.934 ± 0.014   0.0139 ± 0.0099
val/accuracy   0.9481 ± 0.0065  0.9419 ± 0.0090   0.0080 ± 0.0053
val/loss         0.205 ± 0.016    0.220 ± 0.023    -0.020 ± 0.014
train/loss     0.1025 ± 0.0082    0.110 ± 0.011  -0.0099 ± 0.0069

test/loss of 10 seeds in common
difference  -0.035 ± 0.024, 95 % interval of its mean -0.053 to -0.017
diverged    1 of sigmoid, 0 of relu
by seed     8 wins, 0 ties, 2 losses of sigmoid
verdict     no clear difference: P(sigmoid better than relu) is 0.80, 95 %
            interval 0.50 to 1.00; 29 seeds tell a P of 0.75 from 0.5 with 5 %
            errors of both kinds

test/loss decides: the monitored metric. The difference is sigmoid − relu, ± its
standard deviation over the common seeds. A seed in which one of the two
diverged is lost by it.
"""


def printed(capsys: pytest.CaptureFixture[str], parts: object) -> str:
    print_result(*parts)  # type: ignore[misc]
    text = capsys.readouterr().out
    assert all(width_of(line) <= PAGE for line in text.splitlines())
    return text


def test_a_group_is_shown_at_a_glance(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, group_page(make_group(diverged=[3]))) == GROUP


def test_two_groups_are_compared_at_a_glance(capsys: pytest.CaptureFixture[str]) -> None:
    groups = [make_group(diverged=[3]), make_group("digits", ["model.activation=relu"], name="x", better=-1)]
    assert printed(capsys, comparison_page(compare_groups(groups))) == COMPARISON


def test_many_seeds_are_listed_up_to_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, group_page(make_group("diabetes", seeds=range(1000, 1300))))
    assert "  1099  " in text
    assert "  1100  " not in text
    assert "use --json to print all 300 values" in text


def test_a_single_seed_and_diverged_seeds_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, group_page(make_group(seeds=[4], is_tested=False)))
    assert text.endswith("One value says nothing about the spread of val/accuracy: train more seeds.\n")
    text = printed(capsys, group_page(make_group(seeds=range(3), diverged=range(3))))
    assert text.endswith("3 of 3 seeds diverged (0 to 2)\ntime      14.2 s\n\nno seed has a result\n")
    assert "2 not finished" in printed(capsys, group_page(make_group(unfinished=[8, 9])))
