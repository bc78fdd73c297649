"""The figures to reach, and whether they are."""

import statistics
from collections import namedtuple

from programs import OURS

# `row`: what it is about. `kind`, `case`, `column`: which result of ours (`ours`). `against`: a peer; then
# `limit` is a ratio to it. Without: the limit is absolute.
Limit = namedtuple("Limit", "row kind case against limit ours column unit", defaults=(OURS, 0, ""))


def both_tokios(row, case, limit, kind="time", **more):
    return [Limit(row, kind, case, peer, limit, **more) for peer in ("tokio", "tokio-localset")]


LIMITS = [
    *both_tokios("spawn, await, repeat", "spawn_join_one", 0.12),
    *both_tokios("spawn+join by 1,000", "spawn_join:1000", 0.18),
    Limit("spawn+join by 1,000", "time", "spawn_join:1000", "monoio", 0.9),
    *both_tokios("1 M at once", "spawn_join:1000000", 0.20),
    Limit("1 M at once", "time", "spawn_join:1000000", "monoio", 0.9),
    *both_tokios("1 M detached", "detached:1000000", 0.16),
    Limit("1 M detached", "time", "detached:1000000", "glommio", 1.2),
    *both_tokios("yield", "yield", 0.20),
    Limit("yield", "time", "yield", "compio", 0.45),
    *both_tokios("wake ping-pong", "pingpong", 0.30),
    *both_tokios("local channel, cap 64", "channel:64", 0.25),
    *both_tokios("local channel, cap 1", "channel:1", 0.20),
    *both_tokios("oneshot", "oneshot_alone", 0.50),
    *both_tokios("Mutex, uncontended", "mutex", 0.50),
    *both_tokios("Semaphore, uncontended", "semaphore", 0.50),
    *both_tokios("JoinSet of 10,000", "joinset:10000", 0.50),
    *both_tokios("timer insert+cancel, random, 1 M", "timer_random", 0.35),
    Limit("timer insert+cancel, random, 1 M", "time", "timer_random", "libuv", 0.30),
    *both_tokios("timer insert+cancel, FIFO 30 s, 1 M live", "timer_fifo:1000000", 0.30),
    Limit("timer insert+cancel, FIFO 30 s, 1 M live", "time", "timer_fifo:1000000", "libuv", 0.30),
    *both_tokios("timer fire, CPU", "timer_fire", 0.5),
    Limit("timer fire, CPU", "time", "timer_fire", "mio", 1.4),
    Limit("timer fire, lateness p50", "time", "timer_fire", None, 100, column=1, unit="us"),
    *both_tokios("cross-thread item, loop side", "cross_stream", 0.15),
    Limit("cross-thread item, loop side", "time", "cross_stream", "mio", 1.2),
    Limit("foreign wake, busy loop", "time", "foreign_busy", "tokio", 0.10),
    Limit("echo, CPU, 1", "echo", "echo:1", "tokio", 1.0),
    Limit("echo, CPU, 64", "echo", "echo:64", "tokio", 1.0),
    Limit("echo, CPU, 1,000", "echo", "echo:1000", "tokio", 1.0),
    Limit("echo, CPU, 1", "echo", "echo:1", "raw", 1.04),
    Limit("echo, CPU, 64", "echo", "echo:64", "raw", 1.03),
    Limit("echo, CPU, 1,000", "echo", "echo:1000", "raw", 1.05),
    *[
        Limit(f"echo, user instructions, {text}", "instructions", f"echo:{text}", peer, limit)
        for peer, limits in (("tokio", (0.25, 0.30, 0.35)), ("calloop", (0.45, 0.70, 0.90)))
        for text, limit in zip(("1", "64", "churn"), limits)
    ],
    Limit("system calls per request, 1", "syscalls", "echo:1", "tokio", 1.0),
    Limit("system calls per request, 64", "syscalls", "echo:64", "tokio", 1.0),
    Limit("system calls, churn", "syscalls", "echo:churn", "tokio", 0.90),
    Limit("system calls per request, 1", "syscalls", "echo:1", "raw", 1.0),
    Limit("system calls per request, 64", "syscalls", "echo:64", "raw", 1.0),
    Limit("system calls, churn", "syscalls", "echo:churn", "raw", 1.0),
    Limit("hyper hello, CPU", "echo", "hyper hello", "tokio", 1.0),
    Limit("hyper hello, CPU", "echo", "hyper hello", "tokio-local", 1.0),
    Limit("hyper hello, user instructions less than tokio's", "instructions", "hyper hello", "tokio", 400, unit="fewer"),
    Limit("memory per parked task", "memory", "parked", "tokio", 0.33),
    Limit("memory per parked task", "memory", "parked", "glommio", 1.4),
    Limit("memory per parked task, resident", "memory", "parked", None, 100, unit="B"),
    Limit("memory per parked task, resident (goal)", "memory", "parked", None, 80, unit="B"),
    Limit("idle connection, buffers excluded", "memory", "idle", None, 400, unit="B"),
    Limit("outside crates", "footprint", "echo server", None, 8, unit="crates"),
    Limit("clean build", "footprint", "echo server", "tokio", 0.6, column=1),
    Limit("stripped echo server", "footprint", "echo server", "tokio", 0.85, column=2),
    *[
        Limit(f"{style} over mio by hand, {text} sources", "dispatch", sources, "hand", limit, ours=style, unit="more ns")
        for style, limit in (("callback", 8), ("task", 12))
        for sources, text in (("16", "16"), ("1000", "1,000"))
    ],
    Limit("descriptor events, 1,000 sources, all ready at once", "time", "descriptors:1000", "calloop", 0.7,
          ours="loopline-callback"),
    Limit("descriptor events, 1,000 sources, one ready at a time", "time", "descriptors_few:1", "calloop", 0.7,
          ours="loopline-callback"),
    Limit("descriptor events, 1,000 sources, instructions", "instructions", "descriptors:1000", "calloop", 0.7,
          ours="loopline-callback"),
    Limit("ping events, 1,000 sources", "time", "pings:1000", "calloop", 0.7, ours="loopline-callback"),
    *[
        Limit(f"timer{form} made and cancelled at once, {text} live", "time", f"timer_live:{live}", "calloop", limit, ours)
        for form, ours in ((" future", OURS), (" source", "loopline-callback"))
        for live, text, limit in (("0", "0", 0.8), ("10000", "10 k", 0.02))
    ],
    Limit("timer source, the oldest cancelled for a new one, 0 others", "time", "callback_timer_fifo:0", "calloop", 0.8,
          ours="loopline-callback"),
    Limit("timer source, the oldest cancelled for a new one, 10 k live", "time", "callback_timer_fifo:10000", "calloop",
          0.02, ours="loopline-callback"),
    Limit("channel message to a callback", "time", "cross_stream", "calloop", 0.25, ours="loopline-callback"),
]

# Measured figures closer to the limit than this are not told apart by time.
DOUBT = 0.02
ROUNDS = 10


def deciding(kind, case):
    """The peers that a figure to reach is about, which are measured in every round; the others in every third."""
    about = [limit for limit in LIMITS if (limit.kind, limit.case) == (kind, case)]
    return {OURS, *(limit.ours for limit in about), *(limit.against for limit in about)}


def judge(results, limit):
    """Returns the figure's text and the verdict: met, missed, hidden by the spread, or not measured."""
    ours = results.values(limit.kind, limit.case, limit.ours, limit.column)
    theirs = results.values(limit.kind, limit.case, limit.against, limit.column) if limit.against else []
    if not ours or (limit.against and not theirs):
        return "-", "not measured"
    if limit.unit == "more ns":
        return _more(results, limit)
    if limit.unit == "fewer":
        fewer = statistics.median(theirs) - statistics.median(ours)
        return f"{fewer:.0f} fewer", "met" if fewer >= limit.limit else "missed"
    if limit.against is None:
        value = statistics.median(ours)
        return f"{value:.4g} {limit.unit}", "met" if value <= limit.limit else "missed"
    return _ratio(results, limit, ours, theirs)


def _ratio(results, limit, ours, theirs):
    least = min(ours) / min(theirs)
    pairs = [
        statistics.median(row[limit.column] for row in a) / statistics.median(row[limit.column] for row in b)
        for a, b in zip(
            results.samples(limit.kind, limit.case, limit.ours),
            results.samples(limit.kind, limit.case, limit.against),
        )
    ]
    median = statistics.median(pairs)
    if limit.kind == "syscalls":
        # A batch that a busy machine tore in two costs one wait more: the least is what it takes.
        return f"{least:.3f}", "met" if least <= limit.limit + 0.01 else "missed"
    if limit.kind in ("instructions", "memory", "footprint"):
        return f"{median:.3f}", "met" if median <= limit.limit else "missed"
    text = f"{median:.3f} (minima {least:.3f})"
    if len(pairs) >= 4:
        low, _, high = statistics.quantiles(pairs, n=4)
        text = f"{median:.3f} [{low:.3f} to {high:.3f}], minima {least:.3f}"
        sure = (high <= limit.limit and least <= limit.limit) or (low > limit.limit and least > limit.limit)
        if sure:
            return text, "met" if high <= limit.limit else "missed"
    elif max(pairs) <= limit.limit * (1 - DOUBT):
        return text, "met"
    elif min(pairs) > limit.limit * (1 + DOUBT):
        return text, "missed"
    # The spread reaches over the limit: the minima of enough rounds decide, if they are clear.
    if len(pairs) < ROUNDS or abs(least / limit.limit - 1) < DOUBT:
        return text, "hidden by the spread"
    return text, "met by minima" if least <= limit.limit else "missed by minima"


def _more(results, limit):
    """The difference to the code by hand, what signalling costs taken off both. Minima; instructions where
    they were counted say the same without chance."""

    def least(style):
        return min(results.values("dispatch", limit.case, style, 1))

    more = least(limit.ours) - least("signal") - least("hand")
    text = f"+{more:.1f} ns"
    counted = [results.values("dispatch-instructions", limit.case, s) for s in (limit.ours, "signal", "hand")]
    if all(counted):
        text += f", +{counted[0][0] - counted[1][0] - counted[2][0]:.0f} instructions"
    return text, "met" if more <= limit.limit else "missed"


def verdicts(results):
    return [(limit, *judge(results, limit)) for limit in LIMITS]
