"""A worker as a Ray actor: queues for questions, so that it answers while it works, and the way into a gang."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

import ray
from ray.util.metrics import Histogram

from workers.messages import Pulse
from workers.worker import Worker

#: Buckets of the seconds that a commit takes: a local disk to a slow bucket.
COMMIT_S: Final = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
#: Queue of the calls that must be answered while a chain of stages is at work, or hangs.
WATCH: Final = "watch"
#: Queue of the one call that never returns: it fails as soon as the actor is gone, also where it was idle.
LINGER: Final = "linger"


class ActorWorker(Worker):
    """What Ray adds to a worker: a name, a node, a metric, a process group's meeting place."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._commit_s = Histogram("scalaw_commit_s", "Seconds to commit a row to the store.", boundaries=COMMIT_S)
        self._meeting: Any = None

    def __repr__(self) -> str:
        return self.name  # Ray reads it once; the stage is the name of the task

    # The queue of a call is named here and not where it is called: Ray's client knows no such option of a call.
    # Ray types a method with a queue as what its handle has.

    @ray.method(concurrency_group=LINGER)
    def linger(self) -> None:
        """Never return."""
        threading.Event().wait()

    @ray.method(concurrency_group=WATCH)
    def pulse(self) -> Pulse:  # type: ignore[override]
        """See `Worker`."""
        return super().pulse()

    @ray.method(concurrency_group=WATCH)
    def stop(self) -> None:  # type: ignore[override]
        """See `Worker`."""
        super().stop()

    def meet(self) -> tuple[str, int]:
        """Open the place where this generation of the gang meets; return its host and port."""
        from workers.training.group import open_meeting  # torch, which a simulated worker does without

        host = ray.util.get_node_ip_address()
        self._meeting = open_meeting(host, self.rank.world_size)
        return host, self._meeting.port

    def join(self, place: list[Any]) -> tuple[str, str]:
        """Return the device's kind and Ray's id of the node, once the engine is warm and, in a gang, all have met.

        Parameters
        ----------
        place
            The reference to what ``meet`` returns on rank 0; empty without a gang.

        Raises
        ------
        ray.exceptions.GetTimeoutError
            If rank 0 hangs.
        """
        kind = self.warm()
        for reference in place:
            from workers.training import group  # torch, as above

            host, port = ray.get(reference, timeout=group.TIMEOUT.total_seconds())
            group.join(self.rank, host, port, self._meeting, on_gpu=self.on_gpu)
        return kind, str(ray.get_runtime_context().get_node_id())

    def commit(self, row: dict[str, Any]) -> None:
        """See `Worker`; the dashboard shows how long it takes."""
        begun = time.perf_counter()
        super().commit(row)
        self._commit_s.observe(time.perf_counter() - begun)


#: The class as Ray starts it. Chains of stages have the default queue, which takes one at a time; Ray's overloads don't
#: know of the second queue.
WorkerActor: Any = ray.remote(concurrency_groups={WATCH: 1, LINGER: 1})(ActorWorker)  # type: ignore[call-overload]
