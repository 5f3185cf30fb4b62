"""Replies as HTML: a model's line breaks are kept."""

from ponder.server.markdown import to_html


def test_a_haiku_keeps_its_lines() -> None:
    haiku = "An old silent pond\nA frog jumps into the pond\nSplash! Silence again.\n\n- one\n  two\n\n```\na\nb\n```"
    html = to_html(haiku)
    assert "An old silent pond<br />\nA frog jumps into the pond<br />\nSplash! Silence again.</p>" in html
    assert "<li>one<br />\ntwo</li>" in html
    assert "a\nb\n" in html, "code has its lines anyway"
