"""How fast bytes get to a registry: a small upload that is cancelled. Not here: what follows from it (``core.registries``)."""

import math
import os
import time

from promote.adapters.oci.upload import Place, cancel, open_session, session_of
from promote.adapters.oci.upload_bodies import Slices
from promote.core.registries import SAMPLE
from promote.errors import AuthError, PromoteError, Unavailable

_ROUNDS = 3  # a connection is slow at first: the best counts
_ENOUGH_SECONDS = 5.0


def measure(place: Place) -> float:
    """Bytes a second; infinite where the registry does not take the sample, so that nothing is known.

    Raises:
        Again: it may pass.
        AuthError, Unavailable: as a push would.
    """
    session, best = open_session(place), 0.0
    data = os.urandom(SAMPLE)  # nothing on the way can make it smaller
    try:
        for round_ in range(_ROUNDS):
            start = time.monotonic()
            span = f"{round_ * SAMPLE}-{(round_ + 1) * SAMPLE - 1}"
            headers = {"Content-Type": "application/octet-stream", "Content-Range": span}
            with place.transport.send(
                "PATCH", session, frozenset({201, 202, 204}), headers=headers, body=lambda: Slices(data)
            ) as answer:
                took = time.monotonic() - start
                session = session_of(place, session, answer)
            best = max(best, SAMPLE / took)
            if took > _ENOUGH_SECONDS:
                break
    except (AuthError, Unavailable):
        raise
    except PromoteError:
        return best or math.inf
    finally:
        cancel(place, session)
    return best
