"""Who computes what right now, so that two runs that need the same step compute it once.

Under the prefix lie

    flights/<key>/<generation>.json    the holder, taken by put-if-absent; the highest generation counts
    flights/<key>/<generation>.beat    a number that the holder counts up while its own process works

A flight only saves work: whether a result is right and whole depends on the reuse record alone. So a flight that is
lost, damaged, or taken over from a holder that wakes up later costs a second computation at worst. No clock is
compared: who waits looks whether the number moves. A flight that has landed stays as one small record, so that
generations only rise; it may be deleted when nobody begins its step.
"""

import secrets
from collections.abc import Mapping

from airflow_mlpipe.frozen import Kept, from_json, replaced, to_json
from airflow_mlpipe.storage import RecordStorage, seal, segment, unseal


class Flight(Kept, frozen=True, kw_only=True):
    """One computation under way.

    :param key: of the fingerprint.
    :param generation: 1 for the first, one more for each that took over or came later.
    :param nonce: tells this flight from any other.
    :param pipeline, run_id, step: who holds it.
    :param ordinal: of the holder's job record.
    :param landed: it has ended, well or not.
    """

    key: str
    generation: int
    nonce: str
    pipeline: str
    run_id: str
    step: str
    ordinal: int
    landed: bool = False


class Flights:
    """Takes, shows and ends flights. Safe to use from many processes at once.

    :param storage: where they lie.
    :param prefix: folder in it, shared with the reuse store.
    """

    def __init__(self, storage: RecordStorage, prefix: str = "mlpipe") -> None:
        self.storage = storage
        self.prefix = prefix

    def current(self, key: str) -> Flight | None:
        """Return the flight of the highest generation, ``None`` if there never was one.

        A record that is damaged counts as a flight that has ended.
        """
        generations = self._generations(key)
        if not generations:
            return None
        data = self.storage.read(self._place(key, generations[-1]))
        gone = Flight(
            key=key, generation=generations[-1], nonce="", pipeline="", run_id="", step="", ordinal=0, landed=True
        )
        try:
            found = gone if data is None else from_json(Flight, unseal(data))
        except ValueError:
            return gone
        return found if (found.key, found.generation) == (key, gone.generation) else gone

    def take(self, key: str, after: Flight | None, holder: Mapping[str, str], ordinal: int) -> Flight | None:
        """Become the holder after a flight that has ended, or whose holder is dead.

        :param after: the flight that was seen last, ``None`` if there was none.
        :param holder: ``pipeline``, ``run_id`` and ``step``.
        :param ordinal: of the job record that the holder is about to write.
        :returns: the flight; ``None`` if somebody else was first.
        """
        flight = Flight(
            key=key,
            generation=after.generation + 1 if after else 1,
            nonce=secrets.token_hex(16),
            ordinal=ordinal,
            pipeline=holder["pipeline"],
            run_id=holder["run_id"],
            step=holder["step"],
        )
        if not self.storage.create(self._place(key, flight.generation), _to_json(flight)):
            return None
        *older, newest = self._generations(key)
        if newest != flight.generation:  # we slept between look and create, others came and went
            self.storage.delete(self._place(key, flight.generation))
            return None
        for generation in older:
            self.storage.delete(self._place(key, generation))
            self.storage.delete(self._place(key, generation, "beat"))
        return flight

    def beat(self, flight: Flight, count: int) -> None:
        """Show that the holder is alive."""
        self.storage.replace(self._place(flight.key, flight.generation, "beat"), str(count).encode())

    def beats(self, flight: Flight) -> bytes:
        """Return the last beat of a holder; only whether it moves says anything."""
        return self.storage.read(self._place(flight.key, flight.generation, "beat")) or b""

    def land(self, flight: Flight) -> None:
        """End a flight: who waits for it looks again. Harmless if somebody has taken over."""
        landed = replaced(flight, landed=True)
        self.storage.replace(self._place(flight.key, flight.generation), _to_json(landed))
        self.storage.delete(self._place(flight.key, flight.generation, "beat"))

    def _generations(self, key: str) -> list[int]:
        start = f"{self.prefix}/flights/{segment(key)}/"
        names = [place[len(start) :].partition(".json")[0] for place in self.storage.keys(start)]
        return sorted(int(name) for name in names if name.isdecimal())

    def _place(self, key: str, generation: int, ending: str = "json") -> str:
        return f"{self.prefix}/flights/{segment(key)}/{generation:08d}.{ending}"


def _to_json(flight: Flight) -> bytes:
    return seal(to_json(flight))
