"""What is believed of the requests of one service: delays, plans, and how strictly the service keeps order.

Rules: a request's log-likelihood is that of its delays and of its plan. Times are compared per nanosecond, so that a
call without a parent can be weighed against one with a parent by the rate of such calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.evidence.plan import PlanModel
from wiretrace.linking.evidence.timing import DelayModel, sibling_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.habits import ServiceHabits
    from wiretrace.linking.service import Service


@dataclass(slots=True)
class RequestModel:
    """The model of one service."""

    service: Service
    delays: DelayModel = field(init=False)
    """How long after what."""
    plan: PlanModel = field(init=False)
    """Which calls a request makes."""
    background: NDArray[np.float64] = field(init=False)
    """Log rate, per resolution step, of units of each class without a parent; -inf where there are none."""
    groups: NDArray[np.bool_] = field(init=False)
    """Slots that are exchanged together, shape (classes, choices, slots): see `Sampler`."""
    repeating: NDArray[np.bool_] = field(init=False)
    """Classes that a request may call more than once."""
    order_weight: float = 0.0
    """Nats by which a pair of calls keeping the order of arrivals is likelier than independent delays would make it."""
    weighted: bool = field(init=False)
    """Whether contents give any evidence."""

    def __post_init__(self) -> None:
        service = self.service
        classes = len(service.ranks)
        self.delays = DelayModel(service.slots, service.kinds)
        self.plan = PlanModel(service.slots, service.kinds)
        with np.errstate(divide="ignore"):
            self.background = np.log(service.background_rate * service.resolution)
        self.repeating = np.bincount(service.slot_class, minlength=classes) > 1
        self.weighted = bool(np.any(service.weights))
        self.groups = np.zeros((classes, 1, service.slots), bool)

    @classmethod
    def knowing(cls, service: Service, known: ServiceHabits) -> RequestModel:
        """The model of `service`, whose habits are `known`; what they do not know is left open."""
        model = cls(service)
        model.delays, model.plan = known.delays.extended(service.slots), known.plan.extended(service.slots)
        model.order_weight = known.order_weight
        classes, choices, slots = known.groups.shape
        model.groups = np.zeros((len(service.ranks), choices, service.slots), bool)
        model.groups[:classes, :, :slots] = known.groups
        model.groups[classes:] = (service.slot_class >= classes)[None, None, :]
        return model

    @property
    def repeats(self) -> bool:
        """Whether a request may call any class more than once."""
        return bool(self.repeating.any())

    def log_likelihood(self, held: NDArray[np.int64], request: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of requests `request` (columns,) that hold the units `held` (slots, columns); shape (columns,)."""
        service = self.service
        kind = service.kind[request]
        return self.delays.log_likelihood(
            service, held, kind, service.arrives[request], service.responds[request]
        ) + self.plan.log_likelihood(service, held, kind)

    def learn(
        self,
        held: NDArray[np.int64],
        request: NDArray[np.int64],
        weights: NDArray[np.float64],
        choose_cues: bool = True,
    ) -> None:
        """Fit to requests `request` (columns,) that hold `held` (slots, columns), each counting `weights`."""
        self.delays.learn(self.service, held, request, weights, choose_cues)
        self.plan.learn(self.service, held, request, weights)
        self.regroup(held, request)

    def regroup(self, held: NDArray[np.int64], request: NDArray[np.int64]) -> None:
        """Derive which slots are exchanged together from the order of the slots and from their cues."""
        service = self.service
        slots, slot_class = service.slots, service.slot_class
        since = np.take(service.starts, held, mode="wrap") - service.arrives[request]
        position = np.array([np.median(row[~np.isnan(row)]) if (~np.isnan(row)).any() else np.inf for row in since])
        classes = len(self.groups)
        busiest = int(np.argmax(np.bincount(service.kind, minlength=1)))
        cue = sibling_of(self.delays.cue[busiest], slots)
        follows = np.eye(slots, dtype=bool)
        for slot in np.argsort(position, kind="stable").tolist():
            if cue[slot] >= 0:
                follows[:, slot] |= follows[:, cue[slot]]
        self.groups = np.zeros((classes, 5, slots), bool)
        for one_class in range(classes):
            mine = slot_class == one_class
            whole = np.zeros(classes, bool)
            whole[np.unique(slot_class[follows[mine].any(axis=0)])] = True
            later = np.unique(slot_class[position >= position[mine].min()])
            self.groups[one_class, 0] = mine
            self.groups[one_class, 1] = np.isin(slot_class, later)
            self.groups[one_class, 2] = whole[slot_class] | mine
            self.groups[one_class, 3] = True
            self.groups[one_class, 4] = np.isin(slot_class, slot_class[position <= position[mine].min()])

    def order_gain(
        self,
        source: NDArray[np.int64],
        target: NDArray[np.int64],
        before_source: NDArray[np.int64],
        before_target: NDArray[np.int64],
        after_source: NDArray[np.int64],
        after_target: NDArray[np.int64],
    ) -> NDArray[np.float64] | float:
        """What an exchange gains because calls then leave in the order in which their requests arrived."""
        if self.order_weight <= 0.0:
            return 0.0
        starts = self.service.starts
        direction = target - source

        def kept(of_source: NDArray[np.int64], of_target: NDArray[np.int64]) -> NDArray[np.float64]:
            pair, slot = np.nonzero(((of_source >= 0) & (of_target >= 0)).T)
            ahead = starts[of_target[slot, pair]] - starts[of_source[slot, pair]]
            in_order = ((ahead > 0) & (direction[pair] > 0)) | ((ahead < 0) & (direction[pair] < 0))
            return self.order_weight * np.bincount(pair[in_order], minlength=len(source)).astype(np.float64)

        gain = kept(after_source, after_target) - kept(before_source, before_target)
        return np.where((source < 0) | (target < 0), 0.0, gain)
