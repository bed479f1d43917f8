"""Pieces of batches: done once, by whoever has time, and by the maker if nobody has."""

import threading
import time

import pytest

from gpuio.backend.gpu.crew import Crew, Team


def pieces(count, done, wait=None):
    def piece(number):
        if wait is not None:
            assert wait.wait(60)
        done.append(number)

    return [lambda number=number: piece(number) for number in range(count)]


def started(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


def test_a_maker_without_helpers_does_all_pieces():
    crew, team, done = Crew(), Team(), []
    with crew.together(team, pieces(5, done)):
        assert done == []
    assert done == [0, 1, 2, 3, 4]


def test_helpers_do_pieces_while_the_maker_is_elsewhere():
    crew, team, done = Crew(), Team(), []
    helpers = [started(crew.help, team) for _ in range(3)]
    with crew.together(team, pieces(7, done)):
        for helper in helpers:
            helper.join(60)
        assert sorted(done) == list(range(7))
    assert len(done) == 7


def test_the_oldest_batch_comes_first():
    crew, older, newer, done = Crew(), Team(), Team(), []
    crew.add(older, pieces(2, done))
    crew.add(newer, [lambda: done.append("newer")])
    crew.finish(newer)
    assert done == [0, 1, "newer"]
    crew.finish(older)
    assert not crew.take_one()


def test_a_maker_waits_for_the_pieces_that_others_are_doing():
    crew, team, done, go = Crew(), Team(), [], threading.Event()
    crew.add(team, pieces(1, done, go))
    helper = started(crew.help, team)
    while crew._pieces:
        time.sleep(0.001)
    maker = started(crew.finish, team)
    assert maker.is_alive()
    go.set()
    maker.join(60)
    helper.join(60)
    assert done == [0]


def test_what_a_piece_raises_is_the_makers_and_the_others_are_done():
    crew, team, done = Crew(), Team(), []

    def fails():
        raise MemoryError("no room")

    crew.add(team, [*pieces(1, done), fails])
    crew.help(team)  # a helper raises nothing
    with pytest.raises(MemoryError, match="no room"):
        crew.finish(team)
    assert (done, team.error) == ([0], None)


def test_after_an_error_no_piece_is_being_done_and_none_is_left():
    crew, team, other, done, go = Crew(), Team(), Team(), [], threading.Event()
    crew.add(other, [])
    begun = threading.Event()

    def slow():
        begun.set()
        assert go.wait(60)
        done.append("slow")

    with pytest.raises(RuntimeError, match="engine"):  # noqa: PT012, SIM117
        with crew.together(team, [slow, *pieces(3, done)]):
            helper = started(crew.take_one)
            assert begun.wait(60)
            crew._changed.acquire()
            go.set()
            crew._changed.release()
            raise RuntimeError("the engine failed")
    assert done == ["slow"]
    assert team.open == 0
    assert not crew.take_one()
    helper.join(60)


def test_a_helper_of_a_batch_that_failed_at_its_start_returns():
    crew, team = Crew(), Team()
    helper = started(crew.help, team)
    crew.cancel(team)
    helper.join(60)
    assert not helper.is_alive()
