"""Class tables: from the recipe, a code list, an attribute table or the values."""

import numpy as np
import pytest

from headscarp.core.errors import SourceError
from headscarp.sources.classes import attribute_table, class_table, code_text, encode, read_code_list, values_table

RAT = """<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable>
<FieldDefn index="0"><Name>OID</Name><Type>0</Type><Usage>5</Usage></FieldDefn>
<FieldDefn index="1"><Name>VALUE</Name><Type>1</Type><Usage>5</Usage></FieldDefn>
<FieldDefn index="2"><Name>Symbol</Name><Type>2</Type><Usage>0</Usage></FieldDefn>
<FieldDefn index="3"><Name>Description</Name><Type>2</Type><Usage>0</Usage></FieldDefn>
<Row index="0"><F>0</F><F>2</F><F>g</F><F>granite</F></Row>
<Row index="1"><F>1</F><F>7</F><F>s</F><F>slate</F></Row>
</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"""


def test_values_become_classes_and_unknown_ones_are_counted():
    table = class_table({"2": "granite", "7": "slate", "9": "granite"}, "test")
    assert table.labels == ("granite", "slate")
    codes, unknown = encode(np.array([[2.0, 7.0, 9.0], [np.nan, 5.0, 5.0]]), table)
    np.testing.assert_array_equal(codes, [[1, 2, 1], [0, 0, 0]])
    assert unknown == {"5": 2}


def test_values_in_order_of_size():
    assert values_table([10.0, 9.0, 2.0], "test").labels == ("2", "9", "10")
    assert values_table(["b", "a", "3"], "test").labels == ("3", "a", "b")


@pytest.mark.parametrize(
    ("value", "text"), [(3.0, "3"), (3, "3"), ("3", "3"), (" a ", "a"), (2.5, "2.5"), ("nan", "nan")]
)
def test_codes_are_compared_as_text(value, text):
    assert code_text(value) == text


def test_the_attribute_table_beside_a_raster(tmp_path):
    (tmp_path / "a.tif.aux.xml").write_text(RAT)
    assert attribute_table(tmp_path / "a.tif", 1) == {"2": "granite", "7": "slate"}
    assert attribute_table(tmp_path / "a.tif", 2) is None
    assert attribute_table(tmp_path / "b.tif", 1) is None
    (tmp_path / "b.tif.aux.xml").write_text(RAT[:100])
    with pytest.raises(SourceError, match="not readable XML"):
        attribute_table(tmp_path / "b.tif", 1)


def test_a_code_list(tmp_path):
    path = tmp_path / "ages.csv"
    path.write_text("code,label\nTm,Miocene\nQal,Quaternary\n")
    assert read_code_list(path) == {"Tm": "Miocene", "Qal": "Quaternary"}
    path.write_text("symbol,name\nTm,Miocene\n")
    with pytest.raises(SourceError, match="columns code and label"):
        read_code_list(path)


def test_too_many_classes_are_refused():
    with pytest.raises(SourceError, match="300 classes"):
        values_table(range(300), "test")
