"""Code lists: whole, plain, and ready to be class tables."""

import re

import pytest

from headscarp.core.band import MAX_CLASSES
from headscarp.core.errors import SourceError
from headscarp.sources.classes import class_table
from headscarp.sources.codelists import CODE_LISTS, PREFIX, code_list, labels_present
from headscarp.sources.formats import code_of


@pytest.mark.parametrize("name", CODE_LISTS)
def test_lists_are_clean(name):
    labels = code_list(PREFIX + name)
    assert len(labels) >= 44
    for code, label in labels.items():
        assert re.fullmatch(r"[a-z][A-Za-z0-9]*|\d{3}", code)
        assert label == label.strip()
        assert label[0].isupper()


def test_known_codes():
    lithology = code_list("inspire:lithology")
    assert lithology[code_of("http://inspire.ec.europa.eu/codelist/LithologyValue/granite")] == "Granite"
    assert lithology["nonClasticSiliceousSedimentaryRock"] == "Non-clastic siliceous sedimentary rock"
    assert lithology["anthrazit"] == lithology["anthraciteCoal"]
    age = code_list("inspire:age")
    assert age["lateJurassic"] == age["upperJurassic"] == "Upper Jurassic"
    assert age["cambrianStage10"] == "Cambrian Stage 10"
    assert code_list("inspire:landcover")["331"] == "Beaches, dunes, sands"


def test_a_class_table_of_what_is_there():
    assert len(set(code_list("inspire:lithology").values())) > MAX_CLASSES
    labels = labels_present("inspire:lithology", ["granite", None, "basalt", "granite", "kryptonite"])
    assert labels == {"basalt": "Basalt", "granite": "Granite"}
    assert class_table(labels, "rock").labels == ("Basalt", "Granite")
    assert list(labels_present("inspire:landcover", [512, 111.0, "324"])) == ["111", "324", "512"]


def test_what_is_not_there_is_told():
    with pytest.raises(SourceError, match="there are: inspire:lithology, inspire:age, inspire:landcover"):
        code_list("inspire:litology")
    with pytest.raises(SourceError, match="none of the values is a code of inspire:age"):
        labels_present("inspire:age", ["granite"])
