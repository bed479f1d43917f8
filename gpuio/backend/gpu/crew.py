"""What the host decodes of the batches in work, in pieces that whoever has time takes.

A batch's maker adds its pieces and goes on to the decode engine; helpers, and makers that wait for
an engine, take the oldest ones. A maker does what is left of its own, so that a batch is finished
whether helpers come or not.

Invariant: nobody waits for a call that has not begun. A thread that waits here waits for pieces
that others are decoding, or for a maker that is at work.
"""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator

import attrs

__all__ = ["Crew", "Team"]


@attrs.define(eq=False)
class Team:
    """The calls that make one batch together: one maker, and helpers.

    Attributes
    ----------
    place : (int, int, int)     pass, start and number of the batch
    share : float               of its work, that the host's cores get, 0 to 1
    helpers : int               calls beside the maker's
    begun : bool                whether its pieces were added
    open : int                  pieces that are not done
    error : BaseException, optional
                                what the first piece that failed raised
    """

    place: tuple[int, int, int] = (0, 0, 0)
    share: float = 0.0
    helpers: int = 0
    begun: bool = False
    open: int = 0
    error: BaseException | None = None


class Crew:
    """The pieces of all batches, the oldest first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pieces: collections.deque[tuple[Team, Callable[[], None]]] = collections.deque()

    def add(self, team: Team, pieces: Iterable[Callable[[], None]] = ()) -> None:
        """Offer the pieces of a batch, which may be none: helpers need not wait for them."""
        with self._changed:
            for piece in pieces:
                self._pieces.append((team, piece))
                team.open += 1
            team.begun = True
            self._changed.notify_all()

    def take_one(self) -> bool:
        """Do the oldest piece; false if there is none."""
        with self._changed:
            found = self._pieces.popleft() if self._pieces else None
        if found is not None:
            self._do(*found)
        return found is not None

    def help(self, team: Team) -> None:
        """Do pieces until none is left, those of this batch among them."""
        while True:
            while self.take_one():
                pass
            with self._changed:
                if not self._pieces:
                    if team.begun:
                        return
                    self._changed.wait()

    def finish(self, team: Team) -> None:
        """Do pieces until those of a batch are done; raises what one of them raised."""
        while team.open:
            if not self.take_one():
                with self._changed:
                    if team.open and not self._pieces:
                        self._changed.wait()
        error, team.error = team.error, None
        if error is not None:
            raise error

    def cancel(self, team: Team) -> None:
        """Take back a batch's pieces, and wait for those that are being done."""
        with self._changed:
            kept = [one for one in self._pieces if one[0] is not team]
            team.open -= len(self._pieces) - len(kept)
            self._pieces = collections.deque(kept)
            team.begun = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: team.open == 0)
        team.error = None

    @contextlib.contextmanager
    def together(self, team: Team, pieces: Iterable[Callable[[], None]]) -> Iterator[None]:
        """Offer pieces, and have them done at the end; at an error they are taken back."""
        self.add(team, pieces)
        try:
            yield
            self.finish(team)
        except BaseException:
            self.cancel(team)
            raise

    def _do(self, team: Team, piece: Callable[[], None]) -> None:
        """Do a piece, and keep its error for the maker."""
        try:
            piece()
        except BaseException as error:  # noqa: BLE001 -- the maker raises it
            team.error = team.error or error
        finally:
            with self._changed:
                team.open -= 1
                self._changed.notify_all()
