"""Places for open streams, shared fairly among those who hold them.

Everybody may have as many as they like while there are places left. When there are none, whoever
holds fewer than another gets one of the other's: so each ends up with an equal share, or with as
many as they want.
"""

from collections.abc import Callable


class Place:
    """One place of one holder; ``leave`` is called when it is taken away."""

    __slots__ = ("holder", "is_lost", "leave")

    def __init__(self, holder: str) -> None:
        self.holder = holder
        self.is_lost = False
        self.leave: Callable[[], None] | None = None


class Places:
    """At most ``most`` places in one process; used by its event loop only."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken = 0
        # The inner dictionaries are ordered sets: the newest place is found, and any one removed,
        # in constant time.
        self._by_holder: dict[str, dict[Place, None]] = {}

    def take(self, holder: str) -> Place | None:
        """Return a place for ``holder``; None if there is none, and nobody holds more than it."""
        if self._taken >= self.most and not self._take_away_for(holder):
            return None
        place = Place(holder)
        self._by_holder.setdefault(holder, {})[place] = None
        self._taken += 1
        return place

    def give_back(self, place: Place) -> None:
        """Free a place; one that was taken away is free already."""
        if place.is_lost:
            return
        self._free(place)

    def _take_away_for(self, holder: str) -> bool:
        """Free the newest place of the largest holder, if that leaves it as many as ``holder``."""
        own = len(self._by_holder.get(holder, ()))
        largest = max(self._by_holder.values(), key=len, default={})
        # With a difference of one the two would take the same place from each other for ever.
        if len(largest) <= own + 1:
            return False
        place = next(reversed(largest))
        self._free(place)
        place.is_lost = True
        if place.leave is not None:
            place.leave()
        return True

    def _free(self, place: Place) -> None:
        places = self._by_holder[place.holder]
        del places[place]
        if not places:
            del self._by_holder[place.holder]
        self._taken -= 1
