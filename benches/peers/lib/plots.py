"""Draws the results with matplotlib, into one HTML page of SVGs.

matplotlib is installed with pip into `target/plots` the first time; without it there is no page."""

import glob
import html
import io
import os
import re
import statistics
import subprocess
import sys

import cases
from programs import OURS, TARGET

WANTED = "matplotlib>=3.9,<4"
COLOURS = {
    OURS: "#d1495b", "loopline-callback": "#e58a96", "loopline-task": "#d1495b", "tokio": "#2e4057",
    "tokio-localset": "#5c7a99", "smol": "#66a182", "monoio": "#edae49", "monoio-uring": "#f5cf8e",
    "compio": "#8d6a9f", "glommio": "#4f9d9d", "calloop": "#a0785a", "mio": "#8a8f98", "raw": "#b9bec7",
    "libuv": "#6f8f3a", "floor": "#cfd3da",
}
LABELS = {"loopline": "Loopline", "loopline-callback": "Loopline, callbacks", "loopline-task": "Loopline, tasks",
          "tokio": "tokio LocalRuntime", "tokio-localset": "tokio LocalSet", "monoio": "monoio, epoll",
          "monoio-uring": "monoio, io_uring", "mio": "mio by hand", "raw": "raw epoll", "floor": "floor",
          "tokio-local": "tokio LocalRuntime", "tokio-on-loopline": "tokio's, on Loopline",
          "local-sync-on-loopline": "local-sync", "local-channel-on-loopline": "local-channel"}


def library():
    """Returns pyplot, or None with a line that says why."""
    try:
        import matplotlib
    except ImportError:
        folder = os.path.join(TARGET, "plots")
        if not glob.glob(os.path.join(folder, "matplotlib")):
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, WANTED]
            try:
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
            except (OSError, subprocess.SubprocessError) as error:
                said = getattr(error, "stderr", "") or str(error)
                print(f"no plots, because matplotlib is not there: {said.strip()[-200:]}", file=sys.stderr)
                return None
        sys.path.insert(0, folder)
        import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as pyplot

    pyplot.rcParams.update({
        "font.family": "sans-serif", "font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False,
        "axes.edgecolor": "#9aa0a8", "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
        "xtick.color": "#555b63", "ytick.color": "#333942", "axes.labelcolor": "#555b63", "svg.fonttype": "none",
        "axes.grid": False, "figure.facecolor": "white", "legend.frameon": False, "svg.hashsalt": "loopline",
    })
    return pyplot


def svg(pyplot, figure):
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    text = out.getvalue()
    return text[text.index("<svg"):]


def label(peer):
    return LABELS.get(peer, peer)


def short(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def bars(axes, title, found, unit, most):
    """Horizontal bars, the shortest on top: the median, a line to the minimum and the upper quarter. There is
    room for `most`, so that bars are alike in all charts of a figure."""
    rows = []
    for peer, values in found.items():
        if values:
            high = statistics.quantiles(values, n=4)[2] if len(values) > 3 else max(values)
            rows.append((statistics.median(values), min(values), high, peer))
    from matplotlib.ticker import MaxNLocator

    rows.sort(reverse=True)
    places = range(len(rows))
    widths = [row[0] for row in rows]
    axes.barh(places, widths, color=[COLOURS.get(row[3], "#b0b5bd") for row in rows], height=0.68)
    # One that is far off would leave nothing to see of the others: its bar leaves the picture.
    heights = sorted(row[2] for row in rows)
    longest = max(heights[-1], 1e-9)
    if len(heights) > 2 and longest > 5 * heights[-2]:
        longest = 1.3 * heights[-2]
    for place, (median, least, high, _) in zip(places, rows):
        axes.plot([least, high], [place, place], color="#20242a", linewidth=0.9, alpha=0.65)
        beyond = median > longest
        end = longest * 1.01 if beyond else high + longest * 0.02
        axes.text(end, place, short(median), va="center", fontsize=8.5, color="white" if beyond else "#333942")
    axes.set_yticks(list(places), [label(row[3]) for row in rows])
    for text, row in zip(axes.get_yticklabels(), rows):
        if row[3].startswith(OURS):
            text.set_fontweight("bold")
    axes.set_xlim(0, longest * 1.18)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_ylim(len(rows) - most - 0.5, len(rows) - 0.5)
    axes.set_title(title)
    axes.set_xlabel(unit)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)


def panel(pyplot, results, shown, kind, unit, columns=3):
    """A figure of bar charts; `shown` are (case, title, column)."""
    present = [entry for entry in shown if results.get(kind, {}).get(entry[0])]
    if not present:
        return ""
    lines = -(-len(present) // columns)
    most = max(len(results[kind][case]) for case, _, _ in present)
    figure, grid = pyplot.subplots(
        lines, columns, figsize=(4.6 * columns, lines * (0.95 + 0.24 * most)), squeeze=False)
    for axes in grid.flat[len(present):]:
        axes.set_visible(False)
    for axes, (case, title, column) in zip(grid.flat, present):
        found = {peer: results.values(kind, case, peer, column) for peer in results[kind][case]}
        bars(axes, title, found, unit if column == 0 or kind != "time" else "us", most)
    figure.tight_layout(w_pad=1.5, h_pad=1.8)
    return svg(pyplot, figure)


def growth(pyplot, results):
    shapes = {name: (g.text, g.x, g.numbers, g.peers) for name, g in cases.GROWTH.items()}
    shapes["connections"] = ("an echo request, N connections", "connections", cases.CONNECTIONS, cases.CONNECTION_SERVERS)
    present = {n: s for n, s in shapes.items() if results.get("growth", {}).get(f"{n}:{s[2][0]}")}
    if not present:
        return ""
    columns = 2
    lines = -(-len(present) // columns)
    figure, grid = pyplot.subplots(lines, columns, figsize=(13.4, 3.9 * lines), squeeze=False)
    for axes in grid.flat[len(present):]:
        axes.set_visible(False)
    for axes, (name, (title, unit, numbers, peers)) in zip(grid.flat, present.items()):
        ends = []
        for peer in peers:
            points = [(n, min(v)) for n in numbers if (v := results.values("growth", f"{name}:{n}", peer))]
            if points:
                xs, ys = zip(*points)
                mine = peer == OURS
                axes.plot(xs, ys, marker="o", markersize=5 if mine else 3.5, linewidth=2.6 if mine else 1.4,
                          color=COLOURS.get(peer, "#b0b5bd"), zorder=3 if mine else 2, label=label(peer))
                ends.append(ys[-1])
        if name != "threads":
            axes.set_xscale("log")
        axes.set_ylim(0, max(line.get_ydata().max() for line in axes.lines) * 1.08)
        axes.set_title(title)
        axes.set_xlabel(unit)
        axes.set_ylabel("ns of CPU, minimum")
        axes.grid(axis="y", color="#e6e8ec")
        order = sorted(range(len(ends)), key=lambda n: -ends[n])
        handles, names = axes.get_legend_handles_labels()
        axes.legend([handles[n] for n in order], [names[n] for n in order], fontsize=8.5, loc="center left",
                    bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout(w_pad=2, h_pad=2)
    return svg(pyplot, figure)


def ratios(pyplot, verdicts):
    """All ratios that have a limit: measured as a share of the limit."""
    rows = []
    for limit, text, verdict in verdicts:
        found = re.match(r"(?:[^,]*, )?.*?([\d.]+)", text)
        if limit.against and verdict != "not measured" and limit.unit == "" and found:
            least = re.search(r"minima ([\d.]+)", text)
            value = float(least[1] if least and "minima" in verdict else found[1])
            rows.append((value / limit.limit, f"{limit.row}  /  {label(limit.against)}", verdict))
    if not rows:
        return ""
    rows.reverse()
    figure, axes = pyplot.subplots(figsize=(12, 0.6 + 0.215 * len(rows)))
    colours = {"met": "#66a182", "missed": "#d1495b", "hidden": "#c3c7ce"}
    for place, (share, _, verdict) in enumerate(rows):
        colour = colours[verdict.split()[0]]
        axes.plot([1, share], [place, place], color=colour, linewidth=2, alpha=0.55)
        axes.plot([share], [place], "o", color=colour, markersize=6)
    axes.axvline(1, color="#20242a", linewidth=1)
    axes.set_xscale("log", base=2)
    ticks = [t for t in (0.125, 0.25, 0.5, 1, 2, 4) if min(r[0] for r in rows) / 2 < t < max(r[0] for r in rows) * 2]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.set_yticks(range(len(rows)), [row[1] for row in rows], fontsize=8.5)
    axes.set_ylim(-0.8, len(rows) - 0.2)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#eceef1")
    axes.set_xlabel("measured ratio as a share of its limit: left of the line is within it")
    axes.set_title("The figures to reach: met (green), missed (red), hidden by the spread (grey)")
    return svg(pyplot, figure)


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #20242a; max-width: 1180px; margin: 2.5rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem; margin-bottom: .3rem } h2 { font-size: 1.15rem; margin-top: 2.6rem }
p.small { color: #666c75; font-size: .82rem } svg { width: 100%; height: auto }
table { border-collapse: collapse; font-size: .84rem; width: 100% } td, th { text-align: left; padding: .25rem .6rem }
tr:nth-child(even) { background: #f6f7f9 } th { border-bottom: 1px solid #c9cdd4 }
.met { color: #2f7d54 } .missed { color: #c0293f; font-weight: 600 } .hidden, .not { color: #777d86 }
"""


def verdict_table(verdicts):
    rows = "".join(
        f"<tr><td>{html.escape(limit.row)}<td>{html.escape(label(limit.against or '-'))}"
        f"<td>{limit.limit:g} {limit.unit}<td>{html.escape(text)}<td class={verdict.split()[0]}>{verdict}"
        for limit, text, verdict in verdicts
    )
    return f"<table><tr><th>figure<th>against<th>limit<th>measured<th>verdict{rows}</table>"


def write(results, folder, head, verdicts):
    pyplot = library()
    if pyplot is None:
        return None
    time_of = lambda *names: [(name, cases.TIME[name].text, 0) for name in names]  # noqa: E731
    lateness = [("timer_fire", cases.TIME["timer_fire"].text + ", CPU", 0), ("timer_fire", "how late half of them fired", 1)]
    echo = [(name, shape.text, 0) for name, shape in cases.ECHO.items()] + [("hyper hello", "hyper hello, 64 connections", 0)]
    counted = [(name, cases.TIME[name].text, 0) for name in cases.COUNTED]
    sections = [
        ("", ratios(pyplot, verdicts), ""),
        ("Tasks and wakes", panel(pyplot, results, time_of(
            "spawn_join_one", "spawn_join:1000", "spawn_join:1000000", "detached:1000000", "yield", "yield:1000",
            "pingpong", "joinset:10000"), "time", "ns of CPU"),
         "Bars are medians; the thin line reaches from the minimum to the upper quarter. Lower is better everywhere."),
        ("Channels and locks between two tasks of one thread", panel(pyplot, results, time_of(
            "channel:1", "channel:64", "channel_unbounded", "oneshot_alone", "mutex", "semaphore"), "time", "ns of CPU"), ""),
        ("Timers", panel(pyplot, results, [*time_of("timer_random", "timer_fifo:10000", "timer_fifo:1000000"),
                                           *lateness], "time", "ns of CPU"), ""),
        ("From other threads", panel(pyplot, results, time_of(
            "cross_stream", "cross_drain", "foreign_busy"), "time", "ns of CPU"),
         "Items: CPU of the loop's thread. Wakes: CPU of the waking thread."),
        ("Servers", panel(pyplot, results, echo, "echo", "ns of server CPU per request"),
         "Most of an echo is the kernel's, so the servers are close together; the instructions are not."),
        ("Instructions in user space", panel(pyplot, results, [
            *((name, shape.text, 0) for name, shape in cases.ECHO.items() if name in cases.ECHO_COUNTED), *counted],
            "instructions", "instructions"), ""),
        ("Memory", panel(pyplot, results, [("parked", "a parked task beyond its future", 0),
                                           ("idle", "an idle connection beyond its buffer", 0)],
                         "memory", "bytes, resident", 2), ""),
        ("Footprint of a minimal echo server", panel(pyplot, results, [
            ("echo server", "outside crates", 0), ("echo server", "clean release build, CPU s", 1),
            ("echo server", "stripped, KiB", 2)], "footprint", ""), ""),
        ("How cost grows", growth(pyplot, results), "Flat is good."),
    ]
    body = "".join(
        f"<h2>{title}</h2><p class=small>{note}</p>{drawing}" for title, drawing, note in sections if drawing)
    paragraphs = "".join(f"<p class=small>{html.escape(p)}</p>" for p in head.split("\n\n"))
    page = (
        f"<!doctype html><meta charset=utf-8><title>Loopline beside its peers</title><style>{STYLE}</style>"
        f"<h1>Loopline beside its peers</h1>{paragraphs}{body}<h2>Figure by figure</h2>{verdict_table(verdicts)}"
    )
    path = os.path.join(folder, "report.html")
    with open(path, "w") as file:
        file.write(page)
    return path
