"""Names are printed as they are, but for what a terminal would obey."""

import pytest

from gpuio.tools.printable import printable


@pytest.mark.parametrize("text", ["a b-7.jpg", "süß 猫.png", "a\u3000b\u00a0c", "\\n", "😀"])
def test_text_stays(text):
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\x1b[2J\x07\x7f\x85", r"\x1b[2J\x07\x7f\x85"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("caf\udce9", r"caf\xe9"),
        ("\ud800\U000e0001", r"\ud800\U000e0001"),
    ],
)
def test_what_a_terminal_obeys_is_escaped(text, shown):
    assert printable(text) == shown
