"""What is measured, and on whom. Each case: what it is, operations a round, peers; see `src/work`."""

from collections import namedtuple

OURS = "loopline"
TOKIO = ["tokio", "tokio-localset"]
RUNTIMES = [OURS, *TOKIO, "smol", "monoio", "compio", "glommio", "calloop"]
TASKS = ["floor", *RUNTIMES]

# `quick` and `full`: the peers; `operations` of a round, `rounds` of a process; `threads`: it has a second one.
Case = namedtuple("Case", "text operations peers quick rounds threads columns", defaults=(None, 3, False, None))

TIME = {
    "spawn_join_one": Case("spawn, await, repeat", 100_000, TASKS),
    "spawn_join:1000": Case("spawn 1,000, join all", 100_000, TASKS),
    "spawn_join:1000000": Case("spawn 1 M, join all", 1_000_000, TASKS, ["floor", OURS, "tokio", "monoio"], 1),
    "detached:1000000": Case(
        "1 M detached", 1_000_000, ["mio", *TASKS], ["floor", OURS, "tokio", "glommio"], 1),
    "detached:1000": Case("detached, by 1,000", 100_000, ["mio", *TASKS], []),
    "yield": Case("yield, 1 task", 100_000, ["mio", *TASKS]),
    "yield:1000": Case("yield, 1,000 tasks", 100_000, ["mio", *TASKS], ["floor", OURS, *TOKIO, "compio"]),
    "pingpong": Case("ping-pong of two tasks", 100_000, ["mio", *TASKS]),
    "pingpong_take": Case("ping-pong, waker taken", 100_000, TASKS, []),
    "joinset:10000": Case("JoinSet of 10,000", 100_000, [OURS, *TOKIO]),
    "channel:1": Case("local channel, cap 1", 100_000, [OURS, *TOKIO, "tokio-on-loopline", "local-sync-on-loopline"]),
    "channel:64": Case("local channel, cap 64", 200_000, [OURS, *TOKIO, "tokio-on-loopline", "local-sync-on-loopline"]),
    "channel_unbounded": Case(
        "local channel, unbounded", 200_000,
        [OURS, *TOKIO, "tokio-on-loopline", "local-sync-on-loopline", "local-channel-on-loopline"]),
    "oneshot": Case("oneshot from a spawned task", 50_000, [OURS, *TOKIO, "local-sync-on-loopline"]),
    "oneshot_request": Case("request and oneshot answer", 50_000, [OURS, *TOKIO, "local-sync-on-loopline"]),
    "oneshot_alone": Case("oneshot alone", 100_000, [OURS, *TOKIO, "local-sync-on-loopline"]),
    "mutex": Case("Mutex, uncontended", 200_000, [OURS, *TOKIO, "tokio-on-loopline", "smol"]),
    "semaphore": Case("Semaphore, uncontended", 200_000, [OURS, *TOKIO, "tokio-on-loopline", "smol"]),
    "sleep": Case("sleep made, polled, dropped", 50_000, RUNTIMES[:-1]),
    "sleep_earliest": Case("the same, each the earliest", 50_000, RUNTIMES[:-1], []),
    "timer_random": Case(
        "1 M timers at random: insert + cancel", 1_000_000,
        [OURS, "loopline-callback", *TOKIO, "smol", "monoio", "compio", "glommio", "mio", "libuv"],
        [OURS, "tokio", "libuv"], 1, columns=["both", "insert", "cancel"]),
    "timer_fifo:10000": Case(
        "oldest cancelled, new in 30 s, 10 k live", 100_000,
        [OURS, "loopline-callback", *TOKIO, "smol", "monoio", "compio", "glommio", "mio", "libuv"],
        [OURS, "tokio", "libuv"]),
    "timer_fifo:1000000": Case(
        "the same, 1 M live", 1_000_000,
        [OURS, "loopline-callback", *TOKIO, "smol", "monoio", "compio", "glommio", "mio", "libuv"],
        [OURS, "tokio", "libuv"], 1),
    "timer_live:0": Case(
        "timer made and cancelled at once, 0 live", 50_000,
        [OURS, "loopline-callback", *TOKIO, "smol", "monoio", "mio", "calloop"], [OURS, "loopline-callback", "calloop"]),
    "timer_live:10000": Case(
        "the same, 10 k live", 5_000,
        [OURS, "loopline-callback", *TOKIO, "smol", "monoio", "mio", "calloop"], [OURS, "loopline-callback", "calloop"]),
    "timer_reset:10000": Case("later-only reset, 10 k live", 200_000, [OURS, *TOKIO, "smol", "monoio"], []),
    "timer_reset:1000000": Case("later-only reset, 1 M live", 1_000_000, [OURS, *TOKIO, "smol", "monoio"], [], 1),
    "timer_fire": Case(
        "100 k timers fire within 1 s", 100_000,
        [OURS, "loopline-callback", *TOKIO, "smol", "monoio", "compio", "glommio", "mio", "libuv"],
        [OURS, "tokio", "mio"], 1, columns=["CPU", "late p50 us", "late p99 us"]),
    "callback_timer_fifo:0": Case("timer source cancelled, another inserted, 0 others", 50_000, ["loopline-callback", "calloop"]),
    "callback_timer_fifo:10000": Case("the same, 10 k live", 2_000, ["loopline-callback", "calloop"], [], 1),
    "descriptors:16": Case(
        "descriptor events, 16 sources", 50_000, ["mio", "loopline-callback", "loopline-task", "calloop"], []),
    "descriptors:1000": Case(
        "descriptor events, 1,000 sources", 50_000, ["mio", "loopline-callback", "loopline-task", "calloop"]),
    **{
        f"descriptors_few:{ready}": Case(
            f"the same, {ready} of them ready at a time", 50_000,
            ["mio", "loopline-callback", "loopline-task", "calloop"], None if ready == 1 else [])
        for ready in (1, 4, 16)
    },
    "pings:1000": Case("ping events, 1,000 sources", 50_000, ["loopline-callback", "calloop"]),
    "cross_stream": Case(
        "items from another thread, a stream", 200_000,
        [OURS, "loopline-callback", *TOKIO, "smol", "compio", "glommio", "calloop", "mio", "libuv"],
        [OURS, "loopline-callback", "tokio", "calloop", "mio"], threads=True),
    "cross_drain": Case(
        "the same, all there before the loop looks", 200_000,
        [OURS, "loopline-callback", *TOKIO, "smol", "compio", "glommio", "calloop", "mio", "libuv"],
        [OURS, "loopline-callback", "tokio", "calloop", "mio"], threads=True),
    "cross_parked": Case(
        "one item, the loop asleep", 500,
        [OURS, "loopline-callback", *TOKIO, "smol", "compio", "glommio", "calloop", "mio"], [], 1, True),
    "foreign_busy": Case(
        "wake from another thread, loop busy", 50_000, [OURS, *TOKIO, "smol", "compio", "glommio", "calloop"],
        [OURS, "tokio", "smol"], threads=True),
    "foreign_parked": Case(
        "the same, loop asleep", 500, [OURS, *TOKIO, "smol", "compio", "glommio", "calloop"], [], 1, True),
}

# Instructions: fewer and more operations; the difference decides.
COUNTED = {
    "spawn_join_one": (2_000, 12_000),
    "spawn_join:1000": (2_000, 12_000),
    "detached:1000": (2_000, 12_000),
    "yield": (5_000, 25_000),
    "pingpong": (5_000, 25_000),
    "joinset:10000": (10_000, 30_000),
    "channel:1": (5_000, 25_000),
    "channel:64": (6_400, 64_000),
    "channel_unbounded": (6_400, 64_000),
    "oneshot": (2_000, 12_000),
    "oneshot_alone": (6_400, 25_600),
    "mutex": (6_400, 64_000),
    "semaphore": (6_400, 64_000),
    "sleep": (3_200, 12_800),
    "timer_fifo:10000": (20_000, 60_000),
    "descriptors:1000": (4_000, 12_000),
    "pings:1000": (4_000, 12_000),
    "cross_drain": (5_000, 30_000),
}
COUNTED_QUICK = ["spawn_join_one", "spawn_join:1000", "yield", "pingpong", "channel:64", "sleep", "descriptors:1000"]

SERVERS = ["raw", "mio", "libuv", "calloop", OURS, "tokio", "monoio", "monoio-uring", "smol", "compio", "glommio"]
SERVERS_QUICK = ["raw", "mio", OURS, "tokio"]
# Connections, requests, the client's options, the server's buffer.
Echo = namedtuple("Echo", "text connections requests options buffer", defaults=((), 4096))
ECHO = {
    "echo:1": Echo("echo, 1 connection", 1, 20_000),
    "echo:64": Echo("echo, 64 connections", 64, 100_000),
    "echo:1000": Echo("echo, 1,000 connections", 1_000, 100_000),
    "echo:5000": Echo("echo, 5,000 connections", 5_000, 100_000),
    "echo:64:16k": Echo("echo of 16 KiB, 64 connections", 64, 20_000, ("bytes=16384",), 16_384),
    "echo:64:pipelined": Echo("echo, 64 connections, 16 at once", 64, 400_000, ("pipeline=16",)),
    "echo:churn": Echo("connect, one echo, close", 16, 8_000, ("churn",)),
}
ECHO_QUICK = ["echo:1", "echo:64", "echo:1000", "echo:churn"]

# Fewer and more requests.
ECHO_COUNTED = {"echo:1": (1_000, 4_000), "echo:64": (6_400, 19_200), "echo:churn": (480, 1_440)}
ECHO_SYSCALLS = {
    "echo:1": (1, 100, 300, ("pause=1500",)),
    "echo:64": (64, 3_200, 9_600, ("pause=1500",)),
    "echo:churn": (1, 200, 600, ("churn",)),
}
HYPER = [OURS, "tokio", "tokio-local"]

# How cost grows: the case with its number, operations, peers.
Growth = namedtuple("Growth", "text x case numbers operations peers threads", defaults=(False,))
GROWTH = {
    "tasks": Growth(
        "a yield among N tasks", "tasks", "yield:{}", [10, 100, 1_000, 10_000, 100_000, 1_000_000], 200_000,
        ["floor", OURS, "tokio", "smol", "monoio", "compio"]),
    "spawns": Growth(
        "spawn N, join all", "tasks", "spawn_join:{}", [10, 100, 1_000, 10_000, 100_000, 1_000_000], 200_000,
        ["floor", OURS, "tokio", "smol", "monoio", "compio"]),
    "timers": Growth(
        "timer cancelled and made, N live", "timers", "timer_fifo:{}",
        [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000], 100_000, [OURS, "tokio", "smol", "monoio", "mio", "libuv"]),
    "threads": Growth(
        "wake of a busy loop, N threads waking at once (CPU of the wakers)", "threads", "foreign_busy:{}",
        [1, 2, 3, 4, 6, 8], 20_000, [OURS, "tokio", "smol"], True),
}
CONNECTIONS = [10, 100, 1_000, 5_000, 10_000, 19_000]
CONNECTION_SERVERS = ["raw", OURS, "tokio", "libuv", "calloop"]
