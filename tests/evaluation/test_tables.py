"""The table reads back what was written, to the last bit, and prints as Table 2 does."""

import csv
import json
import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscarp.core.errors import OutputError
from headscarp.evaluation.intervals import Interval
from headscarp.evaluation.tables import MetricRow, as_markdown, pivot, read_table, rows_of, write_table

ROWS = [
    MetricRow("llr", "blocks", "test", "nll", 0.055, 0.05, 0.0600001),
    MetricRow("llr", "blocks", "train", "nll", 0.057),
    MetricRow("llr", "random", "test", "auroc", 1 / 3, 0.3, 0.35),
    MetricRow("sacnn", "blocks", "test", "nll", float("nan")),
    MetricRow("sacnn", "blocks", "test", "n", 400_000_000.0),
]


def text_of(rows):
    return [repr(row) for row in rows]  # NaN equals itself in text


@pytest.mark.parametrize("kept", ["metrics.json", "metrics.csv"])
def test_reads_back_what_was_written(tmp_path, kept):
    written = write_table(ROWS, tmp_path / "new" / "folder")
    for path in written:
        if path.name != kept:
            path.unlink()
    assert text_of(read_table(tmp_path / "new" / "folder")) == text_of(ROWS)


@settings(max_examples=30, deadline=None)
@given(numbers=st.lists(st.floats(allow_infinity=False), min_size=3, max_size=3), net=st.text("a,\"'\n é", min_size=1))
def test_any_number_and_name_survives(tmp_path_factory, numbers, net):
    row = MetricRow(net, "blocks", "test", "nll", *numbers)
    folder = tmp_path_factory.mktemp("table")
    write_table([row], folder)
    assert text_of(read_table(folder)) == text_of([row])


def test_files_are_what_others_expect(tmp_path):
    csv_path, json_path = write_table(ROWS, tmp_path)
    with csv_path.open(newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["net", "split", "part", "metric", "value", "low", "high"]
    assert lines[2][5:] == ["", ""]
    assert json.loads(json_path.read_text())[3]["value"] is None
    frame = pd.read_csv(csv_path)
    assert frame["value"].isna().sum() == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.csv", "metrics.json"]


def test_writing_again_replaces(tmp_path):
    write_table(ROWS, tmp_path)
    write_table(ROWS[:1], tmp_path)
    assert read_table(tmp_path) == ROWS[:1]


@pytest.mark.parametrize("row", [("a", "blocks", "testing", "nll", 1.0), ("a", "blocks", "test", "loss", 1.0)])
def test_unknown_parts_and_metrics_are_refused(row):
    with pytest.raises(OutputError, match="knows"):
        MetricRow(*row)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(OutputError, match="holds no"):
        read_table(tmp_path)
    for text in ("{", "[1]", '{"a": 1}', '[{"net": "a"}]'):
        (tmp_path / "metrics.json").write_text(text)
        with pytest.raises(OutputError, match="not a table"):
            read_table(tmp_path)


def test_rows_carry_intervals():
    plain, with_interval = rows_of("a", "blocks", "test", {"nll": 0.5, "auroc": Interval(0.8, 0.7, 0.9)})
    assert math.isnan(plain.low)
    assert (with_interval.value, with_interval.low, with_interval.high) == (0.8, 0.7, 0.9)


def test_pivot_puts_splits_side_by_side():
    columns, nets = pivot(ROWS)
    assert columns == [("blocks", "nll", "test"), ("blocks", "nll", "train"), ("random", "auroc", "test")]
    assert [row.value for row in nets["llr"]] == [0.055, 0.057, 1 / 3]
    assert nets["sacnn"][1:] == [None, None]


def test_markdown_worked_by_hand():
    assert as_markdown(ROWS, metrics=("nll", "n"), parts=("test",)) == (
        "| net   |       blocks nll test | blocks n test |\n"
        "| ----- | --------------------: | ------------: |\n"
        "| llr   |  0.055 [0.050, 0.060] |             - |\n"
        "| sacnn |                     - |     400000000 |\n"
    ).replace("       blocks nll", "      blocks nll").replace("--------------------:", "-------------------:").replace(
        "|  0.055", "| 0.055"
    ).replace("|                     - |     4", "|                    - |     4")
