"""Python's own library as text."""

from itertools import islice

from ponder.data import library


def test_code_is_as_it_is_and_prose_is_what_it_says_about_itself() -> None:
    some = list(islice(library.code(), 30))
    assert all(d.labels == {"field": "code"} and d.licence == "PSF-2.0" for d in some)
    assert any("def " in d.text for d in some) and len({d.origin for d in some}) == 30
    manual = list(islice(library.prose(), 20))
    assert all(d.source == "manual" and d.labels == {"field": "general"} for d in manual)


def test_docstrings_of_all_depths_are_prose_and_code_is_not() -> None:
    source = '"""A."""\nclass B:\n    """C."""\n    def d(self):\n        """E."""\n        return "F"\n'
    assert library.docstrings(source) == "A.\n\nC.\n\nE."
    assert library.docstrings("print 1") == ""


def test_tests_of_the_library_are_left_out() -> None:
    paths = library.modules()
    assert len(paths) > 200 and not [p for p in paths if {"test", "site-packages"} & set(p.parts[-3:])]
