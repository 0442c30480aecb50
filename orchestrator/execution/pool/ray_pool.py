"""The pool on Ray: persistent, named worker actors, alone or in gangs, and how each of their ends is told."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import ray
from ray.actor import ActorHandle
from ray.exceptions import ObjectLostError, RayActorError, RayError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orchestrator.execution.cluster.watch import ClusterWatch
from orchestrator.execution.pool.protocol import (
    TITLES,
    CannotStart,
    Event,
    Finished,
    Holding,
    Lost,
    Parent,
    Ready,
    Vitals,
    WorkerNeeds,
)
from orchestrator.execution.pool.ray_gang import RayGang, Ticket, gravest, task_name, ticket_of, told_by
from orchestrator.planning.context import RunContext
from orchestrator.planning.tree import Role, Stage
from workers.actor import WorkerActor
from workers.faults import failure_of
from workers.messages import Cause, Failure, StageResult, WorkOrder
from workers.rank import Rank

#: Seconds between two questions how a gang is, and after which a gang at work is asked for the first time.
PULSE_S: Final = 5.0
#: Seconds that ranks of a gang have to answer after one of them has failed; the others may wait for it for ever.
GANG_GRACE_S: Final = 5.0
#: Seconds after the end of an actor in which the end of its node is told, if that was the reason.
NODE_GRACE_S: Final = 3.0
#: Results above this size lie in a node's object store; below, the driver itself holds them. Ray's own limit
#: is 100 KiB of what is pickled.
INLINED_BYTES: Final = 64 * 1024


class RayPool:
    """See `Pool`.

    Workers answer to ``scalaw-worker-K`` (``scalaw-worker-K-rank-R`` in a gang of several, ``scalaw-cpu-worker-K``
    where they only evaluate and compress) in Ray's dashboard; ranks of a gang share a placement group, and a rebuilt
    gang meets anew, on another port.

    Parameters
    ----------
    needs
        Of one worker of each role.
    namespace
        Of the actors' names.
    watch
        Tells which nodes are gone.
    """

    def __init__(
        self,
        context: RunContext,
        store_uri: str,
        store_id: str | None,
        needs: Mapping[Role, WorkerNeeds],
        namespace: str,
        watch: ClusterWatch,
    ) -> None:
        self.context, self.store_uri, self.store_id = context, store_uri, store_id
        self.needs, self.namespace, self.watch = needs, namespace, watch
        self.generation = 0
        self._gangs: dict[str, RayGang] = {}
        self._places: dict[str, PlacementGroup] = {}
        self._keeping: dict[Any, tuple[int, str]] = {}
        self._numbers = 0
        self._told: list[Event] = []

    def size(self, role: Role) -> int:
        """See `Pool`."""
        return sum(gang.role == role for gang in self._gangs.values())

    def gangs(self) -> list[str]:
        """See `Pool`."""
        return list(self._gangs)

    def role(self, gang: str) -> Role:
        """See `Pool`."""
        return self._gangs[gang].role

    def start(self, role: Role, count: int) -> list[str]:
        """See `Pool`."""
        names = (f"{TITLES[role]}-{k}" for k in range(len(self._gangs) + count))
        new = [name for name in names if name not in self._gangs][:count]
        for name in new:
            self._start(name, role)
        return new

    def send(self, gang: str, orders: Sequence[WorkOrder], parents: Sequence[Parent]) -> int:
        """See `Pool`."""
        to = self._gangs[gang]
        options = {"num_returns": 1 + len(orders), "name": task_name(orders)}
        given = [parent.value if isinstance(parent, Holding) else parent for parent in parents]
        sent: list[Any] = [rank.run.options(**options).remote(list(orders), *given) for rank in to.ranks]
        if not to.tickets:
            to.changed_s = to.answered_s = to.asked_s = time.monotonic()
        to.tickets.append(Ticket(self._next(), orders, tuple(results for results, *_ in sent), tuple(sent[0][1:])))
        return to.tickets[-1].number

    def events(self, timeout_s: float) -> list[Event]:
        """See `Pool`."""
        self._ask()
        waited = self._waited()
        if self._told or not waited:
            if not self._told:
                time.sleep(timeout_s)
            timeout_s = 0.0
        ready, _ = ray.wait(waited, timeout=timeout_s) if waited else ([], [])
        if ready:
            more, _ = ray.wait(waited, num_returns=len(waited), timeout=0)
            ready = [*ready, *(reference for reference in more if reference not in ready)]
        owners = self._owners() if ready else {}
        for reference in ready:
            self._hear(reference, owners.get(reference))
        self._judge_the_dying()
        told, self._told = self._told, []
        return told

    def vitals(self, gang: str) -> Vitals:
        """See `Pool`."""
        of, now = self._gangs[gang], time.monotonic()
        return Vitals(of.pulse, now - of.changed_s, now - of.answered_s)

    def lost_nodes(self) -> frozenset[str]:
        """See `Pool`."""
        return self.watch.dead_nodes

    def stop_soon(self) -> None:
        """See `Pool`."""
        for gang in self._gangs.values():
            for rank in gang.ranks:
                rank.stop.remote()

    def keep(self, gang: str, stage: Stage, state: Holding) -> int:
        """See `Pool`."""
        number = self._next()
        self._keeping[self._gangs[gang].ranks[0].keep.remote(stage, state.value)] = number, gang
        return number

    def give_up(self, gang: str, failure: Failure) -> None:
        """See `Pool`."""
        self._lose(self._gangs[gang], failure)

    def replace(self, gang: str) -> None:
        """See `Pool`."""
        lost = self._gangs.pop(gang)
        self._end(lost)
        self._start(gang, lost.role)

    def drop(self, gang: str) -> None:
        """See `Pool`."""
        self._end(self._gangs.pop(gang))
        if gang in self._places:
            remove_placement_group(self._places.pop(gang))

    def close(self) -> None:
        """See `Pool`."""
        for gang in self._gangs.values():
            self._end(gang)
        self._gangs.clear()
        for place in self._places.values():
            remove_placement_group(place)
        self._places.clear()

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _start(self, name: str, role: Role) -> None:
        self.generation += 1
        needs = self.needs[role]
        size = needs.world_size
        ranks = tuple(self._actor(name, needs, Rank(k, size)) for k in range(size))
        place = [ranks[0].meet.remote()] if size > 1 else []  # in a list, so that ranks wait for it themselves
        joining = {rank.join.remote(place): k for k, rank in enumerate(ranks)}
        lingering = tuple(rank.linger.remote() for rank in ranks)
        self._gangs[name] = RayGang(name, role, ranks, joining, lingering)

    def _actor(self, gang: str, needs: WorkerNeeds, rank: Rank) -> ActorHandle[Any]:
        name = f"{gang}-rank-{rank.index}" if rank.world_size > 1 else gang
        options: dict[str, Any] = {}
        if rank.world_size > 1:
            options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(self._place(gang, needs), rank.index)
        actor: ActorHandle[Any] = WorkerActor.options(
            name=name,
            namespace=f"{self.namespace}-{self.generation}",  # a dead actor's name may still be taken for a moment
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            memory=needs.memory_bytes,
            accelerator_type=needs.accelerator,
            label_selector=dict(needs.labels) or None,
            **options,
        ).remote(
            name,
            self.context,
            self.store_uri,
            store_id=self.store_id,
            threads=needs.cpus,
            on_gpu=needs.gpus > 0,
            rank=rank,
            checkpoint_interval_s=needs.checkpoint_interval_s,
            store_patience_s=needs.store_patience_s,
        )
        return actor

    def _place(self, gang: str, needs: WorkerNeeds) -> PlacementGroup:
        """Return where a gang's ranks run, as near to each other as the cluster allows."""
        if gang not in self._places:
            count, labels = needs.world_size, dict(needs.labels)
            self._places[gang] = placement_group(
                [needs.bundle] * count, strategy="PACK", bundle_label_selector=[labels] * count if labels else None
            )
        return self._places[gang]

    def _waited(self) -> list[Any]:
        """Return the references that something is to be heard on."""
        found = list(self._keeping)
        for gang in self._gangs.values():
            if gang.dying is not None:
                continue
            found += gang.joining
            found += gang.lingering
            found += [r for ticket in gang.tickets for k, r in enumerate(ticket.results) if k not in ticket.answers]
            found += [gang.asked] if gang.asked is not None else []
        return found

    def _owners(self) -> dict[Any, RayGang]:
        return {
            reference: gang
            for gang in self._gangs.values()
            for reference in (
                *gang.joining,
                *gang.lingering,
                gang.asked,
                *(reference for ticket in gang.tickets for reference in ticket.results),
            )
        }

    def _ask(self) -> None:
        """Ask gangs that start, or have been at work for a while, how they are; one question at a time."""
        now = time.monotonic()
        for gang in self._gangs.values():
            wanted = gang.asked is None and gang.dying is None and (gang.starts or gang.tickets)
            if wanted and now - gang.asked_s >= PULSE_S:
                gang.asked, gang.asked_s = gang.ranks[0].pulse.remote(), now

    def _hear(self, reference: Any, gang: RayGang | None) -> None:
        if reference in self._keeping:
            self._kept(reference)
            return
        if gang is None or gang.dying is not None:
            return
        try:
            answer = ray.get(reference)
        except ObjectLostError as error:
            self._raised(gang, reference, error)
        except RayActorError as error:
            self._died(gang, error)
        except RayError as error:
            self._raised(gang, reference, error)
        else:
            self._answered(gang, reference, answer)

    def _answered(self, gang: RayGang, reference: Any, answer: Any) -> None:
        if reference is gang.asked or reference == gang.asked:
            gang.asked, gang.answered_s = None, time.monotonic()
            if answer != gang.pulse:
                gang.pulse, gang.changed_s = answer, gang.answered_s
        elif reference in gang.joining:
            gang.nodes[gang.joining.pop(reference)] = answer[1]
            if not gang.joining:
                self._told.append(Ready(gang.name))
        elif (waiting := ticket_of(gang, reference)) is not None:
            ticket, rank = waiting
            ticket.answers[rank] = answer
            self._weigh(gang, ticket)

    def _raised(self, gang: RayGang, reference: Any, error: RayError) -> None:
        """Ray itself raises where an argument is gone, or something that our own code did not catch."""
        if reference in gang.joining:
            self._did_not_start(gang, error)
        elif reference == gang.asked:
            gang.asked = None
        elif (waiting := ticket_of(gang, reference)) is not None:
            ticket, rank = waiting
            lost = isinstance(error, ObjectLostError) or (
                isinstance(error, RayTaskError) and isinstance(error.cause, ObjectLostError)
            )
            cause = Cause.STATE_LOST if lost else Cause.RAISED
            ticket.answers[rank] = [
                StageResult(
                    failure=Failure(cause, told_by(error), (order.chain[0].parent,) if order.chain[0].parent else ())
                )
                for order in ticket.orders
            ]
            self._weigh(gang, ticket)

    def _weigh(self, gang: RayGang, ticket: Ticket) -> None:
        """Tell of a ticket once enough of its ranks have answered."""
        complete = len(ticket.answers) == len(ticket.results)
        if ticket.failures and not complete:
            ticket.failed_s = ticket.failed_s or time.monotonic()
        elif 0 in ticket.answers and (complete or not ticket.failures):
            self._finish(gang, ticket)

    def _finish(self, gang: RayGang, ticket: Ticket) -> None:
        results = ticket.answers[0]
        if ticket.failures and not any(result.failure for result in results):
            results = [StageResult(failure=gravest(ticket.failures)) for _ in results]
        gang.tickets.remove(ticket)
        gang.changed_s = gang.answered_s = gang.asked_s = time.monotonic()
        home = gang.nodes[0]
        states = [
            Holding(reference, home if result.state_bytes > INLINED_BYTES else None) if result.state_bytes else None
            for reference, result in zip(ticket.states, results, strict=True)
        ]
        self._told.append(Finished(ticket.number, gang.name, results, states))

    def _kept(self, reference: Any) -> None:
        number, name = self._keeping.pop(reference)
        results: list[StageResult] = []
        try:
            ray.get(reference)
        except RayActorError as error:
            gang = self._gangs[name]
            if gang.dying is None:
                self._died(gang, error)
            return  # its `Lost` is the answer
        except RayError as error:
            results = [StageResult(failure=Failure(Cause.STATE_LOST, told_by(error)))]
        self._told.append(Finished(number, name, results, []))

    def _died(self, gang: RayGang, error: RayActorError) -> None:
        """Note the end of an actor; whether it was its node's end is known in a moment."""
        name = f"worker {gang.name}"
        at_work = gang.tickets[0] if gang.tickets else None
        self.watch.suspect(gang.nodes.values())
        if error.actor_init_failed:
            self._did_not_start(gang, error)
            return
        if error.preempted or at_work is None:
            how = "its node was pre-empted" if error.preempted else "it died while it was idle"
            self._lose(gang, Failure(Cause.NODE_LOST, f"{name}: {how}"))
            return
        told = f"{name} died while it ran this stage, on node {self._names(gang)}\nWorkerDied: {told_by(error)}"
        gang.dying = Failure(Cause.WORKER_DIED, told), time.monotonic() + NODE_GRACE_S

    def _judge_the_dying(self) -> None:
        now = time.monotonic()
        for gang in list(self._gangs.values()):
            if gang.dying is not None:
                failure, end_s = gang.dying
                if self.watch.dead_nodes.intersection(gang.nodes.values()):
                    where = f"worker {gang.name}: its node {self._names(gang)} was lost"
                    self._lose(gang, Failure(Cause.NODE_LOST, where))
                elif now >= end_s:
                    self._lose(gang, failure)
            elif any(t.failed_s is not None and now - t.failed_s > GANG_GRACE_S for t in gang.tickets):
                failures = [failure for ticket in gang.tickets for failure in ticket.failures]
                self._lose(gang, gravest(failures))

    def _did_not_start(self, gang: RayGang, error: RayError) -> None:
        raised = error.cause if isinstance(error, RayTaskError) else None
        cause = failure_of(raised).cause if isinstance(raised, Exception) else Cause.RAISED
        self._end(gang)
        self._told.append(CannotStart(gang.name, Failure(cause, told_by(error))))

    def _lose(self, gang: RayGang, failure: Failure) -> None:
        ticket = gang.tickets[0].number if gang.tickets else None
        self._end(gang)
        self._told.append(Lost(gang.name, failure, ticket))

    def _end(self, gang: RayGang) -> None:
        """End a gang's workers and hear no more of them."""
        self._kill(gang)
        gang.tickets, gang.joining, gang.lingering, gang.asked = [], {}, (), None
        gang.dying = None
        self._keeping = {ref: asked for ref, asked in self._keeping.items() if asked[1] != gang.name}

    def _names(self, gang: RayGang) -> str:
        return ", ".join(sorted(map(self.watch.name_of, set(gang.nodes.values())))) or "unknown"

    @staticmethod
    def _kill(gang: RayGang) -> None:
        for rank in gang.ranks:
            ray.kill(rank)
