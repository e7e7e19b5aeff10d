"""Places of those who watch, shared fairly.

Everybody may have as many as they like while there are places left. When there are none, whoever
has fewer than another gets one of the other's: so each asker ends up with an equal share, or with
as many as they want.
"""

from collections.abc import Callable


class Place:
    """One place, of one asker. Whoever has it is let go by ``leave`` when it is taken away."""

    __slots__ = ("asker", "is_lost", "leave")

    def __init__(self, asker: str) -> None:
        self.asker = asker
        self.is_lost = False
        self.leave: Callable[[], None] | None = None


class Places:
    """At most ``most`` places in one process; used by its event loop only."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken = 0
        # A dictionary keeps the order in which they came, and gives any up at once.
        self._of: dict[str, dict[Place, None]] = {}

    def take(self, asker: str) -> Place | None:
        """A place for ``asker``; None if there is none, and nobody has more than they have."""
        if self._taken >= self.most and not self._take_away_for(asker):
            return None
        place = Place(asker)
        self._of.setdefault(asker, {})[place] = None
        self._taken += 1
        return place

    def give_back(self, place: Place) -> None:
        """Frees a place; one that was taken away is free already."""
        if place.is_lost:
            return
        self._free(place)

    def _take_away_for(self, asker: str) -> bool:
        """Frees the newest place of who has the most, if that leaves them as many as ``asker``."""
        mine = len(self._of.get(asker, ()))
        most = max(self._of.values(), key=len, default={})
        if len(most) <= mine + 1:
            return False
        place = next(reversed(most))
        self._free(place)
        place.is_lost = True
        if place.leave is not None:
            place.leave()
        return True

    def _free(self, place: Place) -> None:
        theirs = self._of[place.asker]
        del theirs[place]
        if not theirs:
            del self._of[place.asker]
        self._taken -= 1
