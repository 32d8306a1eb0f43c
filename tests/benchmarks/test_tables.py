"""What a page says is read back as it was written."""

from benchmarks import tables


def test_rows_are_read_back_and_written_again_unchanged(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    assert tables.rows_of("page") == []
    rows = [{"method": "a, b", "score": 0.25, "none": None}, {"method": "c", "score": 1234.5, "none": 3}]
    path = tables.write("page", "Title", "Text.", rows, 0, ("numpy",))
    kept = tables.rows_of("page")
    assert kept[0] == {"method": "a, b", "score": "0.2500", "none": "-"} and kept[1]["method"] == "c"
    before = path.read_text()
    tables.write("page", "Title", "Text.", kept, 0, ("numpy",))
    assert path.read_text() == before


def test_notes_are_read_back_after_the_page_s_own(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    assert tables.notes_of("page") == []
    tables.write("page", "Title", "Text - with a dash.", [{"a": 1.0}], 0, notes=["One.", "Two - 2."])
    assert tables.notes_of("page")[-2:] == ["One.", "Two - 2."] and len(tables.notes_of("page")) == 5
