"""An error is told its place without being changed, and keeps what it knows."""

import pytest

from gpuio.errors import DecodeError, RecordError, Where


def raised(**given):
    """Return an error that was raised for a cause."""
    try:
        raise DecodeError("cut short", **given) from KeyError("why")
    except DecodeError as error:
        return error


@pytest.mark.parametrize(
    ("given", "at", "within"),
    [
        ({}, ("a.rec", 7, 80), ("a.rec", 7, 80)),
        ({"offset": 3}, ("a.rec", 7, 3), ("a.rec", 7, 80)),
        ({"path": "b", "key": 0}, ("b", 0, 80), ("a.rec", 0, 80)),
    ],
)
def test_a_place_fills_in_what_is_missing_and_a_record_takes_its_buffers_errors(given, at, within):
    error = raised(**given)
    for placed, held in (
        (error.at(Where("a.rec", 7, 80)), at),
        (error.within(Where("a.rec", 7, 80)), within),
    ):
        assert (placed.path, placed.key, placed.offset) == held
        assert type(placed) is DecodeError
        assert str(placed) == f"cut short [path={held[0]}, key={held[1]}, offset={held[2]}]"
        assert placed.__cause__ is error.__cause__
        assert placed.__traceback__ is error.__traceback__
    names = ("path", "key", "offset")
    assert [getattr(error, name) for name in names] == [given.get(name) for name in names]


def test_no_place_leaves_the_text_alone():
    assert str(RecordError("bad").at(Where())) == "bad"
    assert str(RecordError("bad").at(Where(key=0))) == "bad [key=0]"


def test_a_place_cannot_be_changed():
    with pytest.raises(AttributeError):
        Where("a.rec").path = "b.rec"
