"""The rows: each takes the ground that everything stands on, and gives lines of what it saw of hythe and of each peer."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pulls
from host import CGROUP, ULIMITS, Missing, children_of, cover_unified, cpu_seconds, groups_with_limits, has, pss, run, until
from report import attempt, line, not_run, seen


def probe(ground, name, request):
    done = subprocess.run([ground.probe, name], input=json.dumps(request), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Missing((done.stderr.strip() or "the probe ended without a word").splitlines()[-1])
    return json.loads(done.stdout)


def commands(ground, rounds, contenders):
    """Interleaved rounds; gives results by contender."""
    request = {"rounds": rounds, "dir": str(ground.place / "commands"), "rootfs": str(ground.bundle / "rootfs"),
               "program": ["/bin/true"], "contenders": contenders}
    answer = probe(ground, "commands", request)
    return {name: not_run(one["failed"]) if one["failed"] else seen(one["times"]) for name, one in answer.items()}


def lifecycle(ground):
    """create, start, exit, delete of a static program, no network, with limits."""
    bundle, place = str(ground.bundle), ground.place
    tools = {"hythe": [str(ground.hythe_program), "oci"], "runc": ["runc"], "crun": ["crun"], "youki": ["youki"]}
    # Three commands are three programs, so no runtime with this command line can do with less than the second of these.
    empty = [str(ground.bundle / "rootfs" / "bin" / "true")]
    least = [["@floor-groups", *groups_with_limits("floor")], ["@floor"], empty, empty, empty]
    contenders = [{"name": "floor", "steps": [["@floor"]]}, {"name": "floor, groups and three empty programs", "steps": least}]
    results = {}
    covered, keeper = cover_unified(place)
    for name, words in tools.items():
        if not has(words[0]) and name != "hythe":
            results[name] = not_run("not installed")
            continue
        root = ["--root", str(place / f"{name}-root")]
        contenders.append({
            "name": name,
            "mounts": covered if name == "crun" else None,
            "steps": [[*words, *root, "create", "--bundle", bundle, "--pid-file", "{dir}/pid", "{id}"],
                      [*words, *root, "start", "{id}"], ["@wait"], [*words, *root, "delete", "{id}"]],
        })
    try:
        results.update(commands(ground, 15 if ground.quick else 60, contenders))
    finally:
        if keeper:
            keeper.kill()
            keeper.wait()
    return [line("OCI lifecycle", "ms", "≤ 2 × the floor, 1.5 × ahead of crun", results)]


def one_off(ground):
    """A task from the command line: run, exit, gone."""
    lines = []
    for mode in ["bridge", "none"]:
        contenders = [
            {"name": "hythe", "steps": [[str(ground.hythe_program), "run", "--wait", mode]]},
            {"name": "floor", "steps": [["@floor"]] + ([["@floor-network"]] if mode == "bridge" else [])},
        ]
        results = {}
        try:
            docker = ground.docker()
            contenders.append({"name": "docker", "steps": [
                [*docker.words, "run", "--rm", "--network", mode, *ULIMITS, ground.small, "true"]]})
        except Missing as why:
            results["docker"] = not_run(why)
        try:
            podman = ground.podman()
            network = ["--network", "none"] if mode == "none" else []
            contenders.append({"name": "podman", "steps": [[*podman.words, "run", "--rm", *network, *podman.flags, ground.small, "true"]]})
        except Missing as why:
            results["podman"] = not_run(why)
        ground.hythe()
        results.update(commands(ground, 4 if ground.quick else 30, contenders))
        goal = "≤ 20 ms" if mode == "bridge" else ""
        lines.append(line(f"one-off task from the CLI, {mode}", "ms", goal, results))
    return lines


def first_instruction(ground):
    """The call of the API to the container's first instruction."""
    hythe = ground.hythe()
    ear = ground.shared / "ear"
    request = {"rounds": 10 if ground.quick else 200, "ear": str(ear),
               "hythe": [str(hythe.socket), {"cluster": "default", "taskDefinition": "stamp"}]}
    results = {}
    try:
        docker = ground.docker()
        docker.run("tag", ground.small, "bench/small:latest")
        request["docker"] = [str(docker.socket), {
            "Image": "bench/small:latest", "Cmd": ["/bench/bench-probe", "stamp", "/bench/ear"],
            "HostConfig": {"Binds": [f"{ground.shared}:/bench"], "Ulimits": [
                {"Name": "nofile", "Soft": 1024, "Hard": 1024}, {"Name": "nproc", "Soft": 4096, "Hard": 4096}]}}]
    except Missing as why:
        results["docker"] = not_run(why)
    answer = probe(ground, "starts", request)
    results["hythe"] = seen(answer["hythe"]["times"])
    if answer["docker"]["times"]:
        results["docker"] = seen(answer["docker"]["times"])
    return [line("RunTask to the first instruction", "ms", "p50 ≤ 12 ms, p99 ≤ 30 ms", results)]


def replacement(ground):
    """A killed container to its replacement's first instruction."""
    count = 4 if ground.quick else 30
    ear = ground.shared / "ear"
    hythe = ground.hythe()
    def ours():
        start = [str(ground.hythe_program), "service", "create", "stay", "--task-definition", "stay", "--desired-count", str(count)]
        request = {"ear": str(ear), "count": count, "start": start, "settle": 2500, "pause": 1300}
        times = probe(ground, "deaths", request)["times"]
        return seen(times)
    def theirs():
        docker = ground.docker()
        one = " ".join([*docker.words, "run", "-d", "--restart", "always", *ULIMITS, "-v", f"{ground.shared}:/bench",
                        ground.small, "/bench/bench-probe", "stamp", "/bench/ear", "stay"])
        start = ["sh", "-c", f"for i in $(seq {count}); do {one} || exit 1; done"]
        times = probe(ground, "deaths", {"ear": str(ear), "count": count, "start": start, "settle": 500, "pause": 100})["times"]
        docker.run("rm", "-f", *docker.run("ps", "-aq").split())
        return seen(times)
    results = {"hythe": attempt(ours), "docker": attempt(theirs)}
    attempt(lambda: run(ground.hythe_program, "service", "rm", "stay", "--force"))
    attempt(hythe.stop_all)
    return [line("killed to its replacement's first instruction", "ms", "p50 ≤ 15 ms", results)]


def thirty(ground):
    """Thirty tasks one after another, and their removal."""
    hythe, count, results, removal = ground.hythe(), 30, {}, {}
    def ours():
        begun = time.monotonic()
        for _ in range(count):
            run(ground.hythe_program, "run", "sleeper")
        until("30 tasks", 60, lambda: hythe.counts()[0] == count)
        took = time.monotonic() - begun
        begun = time.monotonic()
        hythe.stop_all()
        removal["hythe"] = seen([time.monotonic() - begun])
        return seen([took])
    def theirs():
        docker = ground.docker()
        begun = time.monotonic()
        ids = [docker.run("run", "-d", *ULIMITS, ground.small, "sleep", "1000").strip() for _ in range(count)]
        took = time.monotonic() - begun
        begun = time.monotonic()
        docker.run("rm", "-f", *ids)
        removal["docker"] = seen([time.monotonic() - begun])
        return seen([took])
    results["hythe"] = attempt(ours)
    results["docker"] = attempt(theirs)
    return [line("30 tasks one after another", "s", "≤ 0.4 s", results), line("their removal", "s", "", removal)]


def many(ground):
    """Many tasks at once, their end, and the memory that they take."""
    lines, hythe = [], ground.hythe("many")
    idle = pss(hythe.pid)
    lines.append(line("memory of the daemon, 0 tasks", "MB", "≤ 12 MB", {"hythe": seen([idle])}))
    for count in [10, 100] if ground.quick else [10, 100, 1000]:
        begun = time.monotonic()
        for _ in range(count // 10):
            hythe.call("RunTask", {"cluster": "default", "taskDefinition": "sleeper", "count": 10})
        def gone():
            until(f"{count} tasks", 180, lambda: hythe.counts()[0] == count)
            return time.monotonic() - begun
        took = attempt(lambda: seen([gone()]))
        lines.append(line(f"{count} tasks at once to RUNNING", "s", "≤ 15 s" if count == 1000 else "", {"hythe": took}))
        if count >= 100:
            goal = {100: "≤ 20 MB", 1000: "≤ 60 MB"}[count]
            lines.append(line(f"memory of the daemon, {count} tasks", "MB", goal, {"hythe": seen([pss(hythe.pid)])}))
        if count == 100:
            lines.append(line("memory of a shim, of 100", "MB", "≤ 0.8 MB", {"hythe": seen([pss(one) for one in hythe.shims()])}))
        begun = time.monotonic()
        def swept():
            hythe.stop_all()
            return seen([time.monotonic() - begun])
        lines.append(line(f"{count} tasks stopped and swept", "s", "≤ 10 s" if count == 1000 else "", {"hythe": attempt(swept)}))
    return lines


def idle(ground):
    """Wake-ups and bytes written while nothing happens."""
    lines, hythe, span = [], ground.hythe(), 5 if ground.quick else 60
    for family, checks in [("sleeper", "off"), ("checked", "on")]:
        for _ in range(10):
            hythe.call("RunTask", {"cluster": "default", "taskDefinition": family, "count": 10})
        until("100 tasks", 120, lambda: hythe.counts()[0] == 100)
        time.sleep(11)  # threads that are kept for more work have gone by then
        pids = [hythe.pid, *hythe.shims()]
        before, written_before = switches(pids), written(pids)
        time.sleep(span)
        woken = sum(times - before.get(thread, 0) for thread, times in switches(pids).items())
        bytes_written = written(pids) - written_before
        goal = "0" if checks == "off" else ""
        lines.append(line(f"wake-ups of 100 idle tasks in {span} s, health checks {checks}", "times", goal, {"hythe": seen([woken])}))
        lines.append(line(f"written meanwhile, health checks {checks}", "bytes", "0", {"hythe": seen([bytes_written])}))
        hythe.stop_all()
    return lines


def switches(pids):
    """How often each thread was given a processor."""
    found = {}
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            entries = (thread / "status").read_text().splitlines()
            found[thread.name] = sum(int(entry.split()[1]) for entry in entries if "ctxt_switches" in entry)
    return found


def written(pids):
    total = 0
    for pid in pids:
        for entry in Path(f"/proc/{pid}/io").read_text().splitlines():
            if entry.startswith("write_bytes"):
                total += int(entry.split()[1])
    return total


def api(ground):
    """Rates of the API on a store with a long history."""
    hythe = ground.hythe("api")
    hythe.server.stop()
    run(ground.probe, "fill", hythe.state / "store.db", 10000, "true-none")
    hythe.begin()
    task = hythe.call("ListTasks", {"cluster": "default", "desiredStatus": "STOPPED"})["taskArns"][0]
    lines, seconds = [], 2 if ground.quick else 8
    def ask(operation, request, **pace):
        return probe(ground, "requests", {"socket": str(hythe.socket), "clients": 64, "seconds": seconds,
                                          "operation": operation, "input": request, **pace})
    new_task = ("RunTask", {"cluster": "default", "taskDefinition": "true-none"})
    # At the rate of the goal first: what the fastest rate asks for keeps the host busy for long after it.
    paced = ask(*new_task, rate=150)
    until("the end of those tasks", 120, lambda: hythe.counts() == (0, 0))
    for operation, request, goal in [
            ("DescribeTasks", {"cluster": "default", "tasks": [task]}, 20000),
            ("ListTasks", {"cluster": "default", "desiredStatus": "STOPPED"}, 5000),
            (*new_task, 150)]:
        done = ask(operation, request)
        lines.append(line(f"{operation}, 64 clients, 10,000 tasks", "per second", f"≥ {goal}", {"hythe": seen([done["rate"]])}, True))
        if operation != "RunTask":
            lines.append(line(f"{operation}, 99th percentile", "ms", "≤ 20 ms", {"hythe": seen([done["p99"]])}))
    lines.append(line("RunTask 150 times a second, 99th percentile", "ms", "≤ 20 ms", {"hythe": seen([paced["p99"]])}))
    return lines


def decisions(ground):
    """One event in clusters of different sizes."""
    clusters = [[100, 10], [1000, 10]] + ([] if ground.quick else [[10000, 10]])
    answer = probe(ground, "decisions", {"clusters": clusters, "rounds": 100})
    return [line(f"decision, {one['services']} services, {one['tasks']} tasks", "µs", "≤ 50 µs, whatever the total",
                 {"hythe": seen(one["times"])}) for one in answer]


def logs(ground):
    """One container writes as fast as its output is taken."""
    hythe, size = ground.hythe(), 100 if ground.quick else 2000
    lines_written = -(-size * 1000000 // 64000) * 640
    rates, costs, lost = {}, {}, {}
    def ours():
        hythe.define("flood", {"command": ["/bench/bench-probe", "flood", str(size)], "memory": 256,
                               "mountPoints": [{"sourceVolume": "bench", "containerPath": "/bench"}]},
                     networkMode="none", volumes=[{"name": "bench", "host": {"sourcePath": str(ground.shared)}}])
        begun = time.monotonic()
        task = hythe.call("RunTask", {"cluster": "default", "taskDefinition": "flood"})["tasks"][0]["taskArn"]
        spent = [0.0]
        def ended():
            spent[0] = max(spent[0], cpu_seconds(hythe.shims()))
            return hythe.call("DescribeTasks", {"cluster": "default", "tasks": [task]})["tasks"][0]["lastStatus"] == "STOPPED"
        until("the end of the flood", 120, ended)
        took = time.monotonic() - begun
        costs["hythe"] = seen([spent[0] * 1000 / size])
        counted = int(run("sh", "-c", f"{ground.hythe_program} logs {task.rsplit('/')[-1]} | wc -l"))
        lost["hythe"] = seen([lines_written - counted])
        return seen([size / took])
    def theirs():
        docker = ground.docker()
        pids = children_of(docker.pid)
        before, begun = cpu_seconds(pids), time.monotonic()
        id_ = docker.run("run", "-d", "--network", "none", *ULIMITS, "-v", f"{ground.shared}:/bench", ground.small,
                         "/bench/bench-probe", "flood", str(size)).strip()
        docker.run("wait", id_)
        took = time.monotonic() - begun
        costs["docker"] = seen([(cpu_seconds(pids) - before) * 1000 / size])
        counted = int(run("sh", "-c", " ".join(docker.words) + f" logs {id_} | wc -l"))
        lost["docker"] = seen([lines_written - counted])
        docker.run("rm", "-f", id_)
        return seen([size / took])
    rates["hythe"] = attempt(ours)
    rates["docker"] = attempt(theirs)
    return [line("logs of one container", "MB/s", "≥ 200 MB/s and 1.5 × docker", rates, True),
            line("processor time of the log writer", "ms/MB", "≤ 1/2 of docker", costs),
            line("lines lost", "lines", "0", lost)]


def binary(ground):
    """What is installed, and how soon it answers."""
    mine = ground.hythe_program.stat().st_size / 1e6
    sizes = {"hythe": seen([mine])}
    parts = [shutil.which(name) for name in ["dockerd", "containerd", "containerd-shim-runc-v2", "runc"]]
    parts.append("/usr/bin/docker")
    if all(part and Path(part).exists() for part in parts):
        sizes["docker"] = seen([sum(Path(part).stat().st_size for part in parts) / 1e6])
    contenders = [{"name": "hythe", "steps": [[str(ground.hythe_program), "--version"]]}]
    for name in ["runc", "crun", "podman"]:
        if has(name):
            contenders.append({"name": name, "steps": [[name, "--version"]]})
    if Path("/usr/bin/docker").exists():
        contenders.append({"name": "docker", "steps": [["/usr/bin/docker", "--version"]]})
    results = commands(ground, 20 if ground.quick else 60, contenders)
    return [line("binaries", "MB", "≤ 10 MB", sizes), line("--version", "ms", "≤ 2 ms", results)]


ROWS = {"lifecycle": lifecycle, "one-off": one_off, "first-instruction": first_instruction, "replacement": replacement,
        "pull": pulls.gzip, "pull-zstd": pulls.zstd, "thirty": thirty, "many": many, "idle": idle, "api": api, "decisions": decisions, "logs": logs,
        "binary": binary}
