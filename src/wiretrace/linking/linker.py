"""Links calls to the calls that caused them."""

from __future__ import annotations

import numpy as np

from wiretrace.linking.candidates import find_candidates, outgoing_kind
from wiretrace.linking.joint import solve
from wiretrace.linking.observations import observe
from wiretrace.linking.problem import LinkProblem, LinkSolution
from wiretrace.linking.service import Service


def build(obs, cand, children, svc_requests, name):
    p = obs.problem
    n = len(p)
    order = np.lexsort((obs.arrives[svc_requests], p.callee[svc_requests]))
    req = svc_requests[order]
    local = np.full(n, -1)
    local[req] = np.arange(len(req))
    _, kind = np.unique(p.operation[req], return_inverse=True)
    u = children[np.lexsort((obs.starts[children], p.caller[children]))]
    _, ucls = np.unique(outgoing_kind(obs)[u], return_inverse=True)
    cnt = cand.counts()[u]
    idx = np.repeat(cand.offsets[u], cnt) + np.arange(cnt.sum()) - np.repeat(np.cumsum(cnt) - cnt, cnt)
    ncls = ucls.max() + 1
    pad = lambda a: np.append(a, np.nan)
    st, en = obs.starts[u], obs.ends[u]
    off = np.concatenate(([0], np.cumsum(cnt)))
    return Service(
        name=name, resolution=obs.resolution_ns, request_call=req, instance=p.callee[req].astype(np.int64), arrives=obs.arrives[req],
        responds=np.where(obs.responded[req], obs.responds[req], np.nan), live_until=obs.responds[req], kind=kind,
        unit_call=u, starts=pad(st), ends=pad(en), earliest=pad(st + obs.start_slack[u]),
        latest=pad(np.where(cand.contained_only[u], en, st) - obs.start_slack[u]), unit_class=ucls,
        slot_class=np.arange(ncls), slot_rank=np.zeros(ncls, np.int64), offsets=off, candidates=local[cand.parent[idx]],
        weights=np.zeros(len(idx)), background_rate=np.zeros(ncls),
    )


def link(problem: LinkProblem) -> LinkSolution:
    obs = observe(problem)
    cand = find_candidates(obs)
    n = len(problem)
    parent = np.full(n, -1)
    conf = np.ones(n)
    for s in np.unique(problem.caller_service[cand.child]):
        children = np.flatnonzero((problem.caller_service == s) & (cand.counts() > 0))
        requests = np.flatnonzero(problem.callee_service == s)
        sv = build(obs, cand, children, requests, str(s))
        post = solve(sv)
        call = sv.unit_call
        ok = post.parent >= 0
        parent[call[ok]] = sv.request_call[post.parent[ok]]
        pu = np.repeat(np.arange(sv.units), np.diff(sv.offsets))
        hit = sv.candidates == post.parent[pu]
        conf[call[pu[hit]]] = post.pair_share[hit]
    return LinkSolution(parent, conf, np.full(n, 2, np.uint8))
