"""From samples to a table, to JSON and to a picture.

A line has a name, a unit, whether more is better, a goal in words, and for each contender its samples, or why it could
not run.
"""

import json
import re
import shutil
import statistics
import subprocess

from host import Missing

COLOURS = {"hythe": "#1b6ca8", "floor": "#9aa5b1"}
OTHERS = ["#d1495b", "#edae49", "#66a182", "#8d6a9f", "#b08968"]


def line(row, unit, goal, results, more=False):
    return {"row": row, "unit": unit, "goal": goal, "more_is_better": more, "results": results}


def seen(samples):
    return {"samples": [float(one) for one in samples]}


def not_run(why):
    return {"failed": str(why)}


def attempt(work):
    try:
        return work()
    except (Missing, OSError, subprocess.SubprocessError) as why:
        return not_run(why)


def percentile(samples, part):
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def judge(lines):
    """Adds median, 95th percentile, and the ratios to hythe and to the floor."""
    for line in lines:
        results = line["results"]
        for result in results.values():
            if result.get("samples"):
                result["median"] = statistics.median(result["samples"])
                result["p95"] = percentile(result["samples"], 0.95)
                result["p99"] = percentile(result["samples"], 0.99)
            elif "failed" not in result:
                result["failed"] = "nothing was measured"
        ours = results.get("hythe", {}).get("median")
        floor = results.get("floor", {}).get("median")
        for result in results.values():
            if "median" in result:
                result["to_hythe"] = result["median"] / ours if ours else None
                result["to_floor"] = result["median"] / floor if floor else None
    return lines


def number(value):
    if value is None:
        return ""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def head(found):
    machine = found["machine"]
    kind = "quick run" if found["quick"] else "full run"
    return (f"{machine['date']}, Linux {machine['kernel']}, {machine['processors']} processors ({machine['processor']}), "
            f"{machine['memory_gb']} GB, {kind}, load {machine['load']:.1f}")


def table(found):
    """Markdown, one line for each contender of each row."""
    out = [head(found), "", "; ".join(found["versions"].values()), "",
           "| row | contender | median | p95 | unit | to hythe | to the floor | goal |", "| --- | --- | ---: | ---: | --- | ---: | ---: | --- |"]
    for line in found["lines"]:
        order = sorted(line["results"], key=lambda name: (name != "hythe", name == "floor", name))
        for at, name in enumerate(order):
            result = line["results"][name]
            row, goal = (line["row"], line["goal"]) if at == 0 else ("", "")
            if "failed" in result:
                out.append(f"| {row} | {name} | not run: {result['failed']} | | | | | {goal} |")
                continue
            ratios = [number(result[key]) for key in ["to_hythe", "to_floor"]]
            out.append(f"| {row} | {name} | {number(result['median'])} | {number(result['p95'])} | {line['unit']} | {ratios[0]} | {ratios[1]} | {goal} |")
    return "\n".join(out)


PEERS = ["docker", "podman"]


def summary(found, is_for_readme):
    """One line for each row, as README (rows that a peer ran too) and docs/PERFORMANCE.md (all rows) have it."""
    heads = ["hythe"] + [f"{name} {short(found['versions'].get(name, ''))}".strip() for name in PEERS] + ["others", "kernel's floor"]
    out = [head(found) + ":", "", "| | " + " | ".join(heads) + " |", "| --- | ---: | ---: | ---: | --- | ---: |"]
    for line in found["lines"]:
        results = line["results"]
        ran = [name for name, one in results.items() if "median" in one]
        if "hythe" not in ran or (is_for_readme and not set(ran) - {"hythe", "floor"}):
            continue
        named = sorted(set(ran) - {"hythe", "floor", *PEERS})
        others = ", ".join(f"{name} {number(results[name]['median'])}" for name in named)
        unit = f", {line['unit']}" if line["unit"] else ""
        cells = [cell(results.get(name)) for name in ["hythe", *PEERS]] + [others, cell(results.get("floor"))]
        out.append(f"| {line['row']}{unit} | " + " | ".join(cells) + " |")
    return "\n".join(out)


def cell(result):
    if result is None:
        return ""
    return number(result["median"]) if "median" in result else "cannot"


def short(version):
    """The first two numbers of what a program says of its version."""
    found = re.search(r"\d+\.\d+", version)
    return found.group() if found else ""


def picture(found):
    """Bars: in each row hythe is one long, so that a bar is how many times as much a peer takes."""
    shown = [line for line in found["lines"] if len([one for one in line["results"].values() if "median" in one]) > 1]
    width, left, bar, gap = 900, 300, 16, 14
    peers = sorted({name for line in shown for name in line["results"]} - set(COLOURS))
    colours = {**COLOURS, **dict(zip(peers, OTHERS * 3))}
    parts, top = [], 50
    for line in shown:
        ran = {name: one["median"] for name, one in line["results"].items() if "median" in one}
        most = max(ran.values()) or 1
        parts.append(text(left - 10, top + bar - 4, f"{line['row']}, {line['unit']}", "end"))
        for name in sorted(ran, key=lambda name: (name != "hythe", name)):
            length = max(1, (width - left - 190) * ran[name] / most)
            parts.append(f'<rect x="{left}" y="{top}" width="{length:.1f}" height="{bar - 3}" fill="{colours[name]}"/>')
            parts.append(text(left + length + 6, top + bar - 5, f"{name} {number(ran[name])}"))
            top += bar
        top += gap
    title = text(20, 24, head(found))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top + 10}" font-family="sans-serif" font-size="11">'
            f'<rect width="100%" height="100%" fill="white"/>{title}{"".join(parts)}</svg>\n')


def text(x, y, words, anchor="start"):
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def write(found, target):
    (target / "bench.json").write_text(json.dumps(found, indent=1) + "\n")
    (target / "bench.md").write_text(table(found) + "\n")
    (target / "readme.md").write_text(summary(found, True) + "\n")
    (target / "performance.md").write_text(summary(found, False) + "\n")
    (target / "bench.svg").write_text(picture(found))
    if shutil.which("rsvg-convert"):
        subprocess.run(["rsvg-convert", "-z", "1.5", "-o", target / "bench.png", target / "bench.svg"], check=True)
