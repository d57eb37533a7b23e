"""Runs the rows and writes down what was seen. Started by scripts/bench, in namespaces of its own."""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report
from host import CGROUP, Docker, Hythe, Missing, Podman, Registry, run
from rows import ROWS

# Bytes that compress as programs and their texts do, to about 0.38.
WORDS, POOL = 4096, 24 << 20


class Ground:
    """What all rows stand on: programs, images and daemons, each begun when a row first asks for it."""

    def __init__(self, binaries, place, target, quick):
        self.hythe_program, self.tools = binaries / "hythe", binaries / "rootfs-tools"
        self.place, self.target, self.quick = place, target, quick
        self.begun = {}
        self.shared = place / "shared"
        self.shared.mkdir()
        # Inside containers the probe is found by the same name, whatever the image.
        shutil.copy(binaries / "examples" / "bench-probe", self.shared / "bench-probe")
        self.probe = self.shared / "bench-probe"
        layout = target / "cache" / "small"
        run(self.tools, "recipe", "busybox", "-o", f"{layout}:latest", "--cache", target / "cache")
        self.layout = layout
        self.bundle = place / "bundle"
        self.make_bundle()

    @property
    def small(self):
        """The small image as every peer can pull it."""
        name = f"{self.registry().name}/bench/small:latest"
        if "pushed" not in self.begun:
            run(self.tools, "push", f"{self.layout}:latest", name)
            self.begun["pushed"] = None
        return name

    def make_bundle(self):
        self.bundle.mkdir()
        run(self.tools, "unpack", f"oci:{self.layout}:latest", self.bundle / "rootfs")
        kinds = ["pid", "mount", "ipc", "uts", "network"]
        mounts = [{"destination": "/proc", "type": "proc", "source": "proc"},
                  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]}]
        spec = {
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "env": ["PATH=/bin"], "cwd": "/",
                        "capabilities": {kind: ["CAP_KILL", "CAP_NET_BIND_SERVICE"] for kind in ["bounding", "effective", "permitted"]},
                        "noNewPrivileges": True},
            "root": {"path": "rootfs", "readonly": True}, "hostname": "bench", "mounts": mounts,
            "linux": {"cgroupsPath": f"/{CGROUP}/oci", "namespaces": [{"type": kind} for kind in kinds],
                      "resources": {"devices": [{"allow": False, "access": "rwm"}], "memory": {"limit": 64 << 20},
                                    "cpu": {"shares": 512, "quota": 50000, "period": 100000}, "pids": {"limit": 64}},
                      "maskedPaths": ["/proc/kcore", "/proc/keys"], "readonlyPaths": ["/proc/sys", "/proc/bus"]}}
        (self.bundle / "config.json").write_text(json.dumps(spec))

    def keep(self, name, make):
        """Begins a thing once; a failure is remembered and told again."""
        if name not in self.begun:
            try:
                self.begun[name] = make()
            except Missing as why:
                self.begun[name] = why
        if isinstance(self.begun[name], Missing):
            raise self.begun[name]
        return self.begun[name]

    def registry(self):
        return self.keep("registry", lambda: Registry(self.place / "registry"))

    def docker(self):
        def make():
            docker = Docker(self.place / "docker")
            self.begun["docker daemon"] = docker
            docker.run("pull", self.small)
            return docker
        return self.keep("docker", make)

    def podman(self):
        def make():
            podman = Podman(self.place / "podman")
            podman.run("pull", "--tls-verify=false", self.small)
            return podman
        return self.keep("podman", make)

    def hythe(self, name="hythe"):
        """An instance with the bench's definitions. One at a time lives, as all share the bench's names."""
        self.end(lambda other, thing: isinstance(thing, Hythe) and other != name)
        return self.keep(name, lambda: self.make_hythe(name))

    def end_daemons(self):
        """Ends every daemon, for a row that begins its own; the next row that wants one begins it anew."""
        self.end(lambda _, thing: isinstance(thing, (Hythe, Docker)))

    def end(self, which):
        for name, thing in list(self.begun.items()):
            if which(name, thing):
                thing.stop()
                del self.begun[name]

    def make_hythe(self, name):
        hythe = Hythe(self.hythe_program, self.place / name)
        run(self.hythe_program, "image", "load", f"oci:{self.layout}:latest", "--name", "bench/small")
        bench = {"mountPoints": [{"sourceVolume": "bench", "containerPath": "/bench"}]}
        volumes = {"volumes": [{"name": "bench", "host": {"sourcePath": str(self.shared)}}]}
        stamp = ["/bench/bench-probe", "stamp", "/bench/ear"]
        hythe.define("bridge", {"command": ["true"]}, networkMode="bridge")
        hythe.define("none", {"command": ["true"]}, networkMode="none")
        hythe.define("true-none", {"command": ["true"]}, networkMode="none")
        # The first process of a container hears no SIGTERM that it does not wait for; this one does.
        rest = {"command": ["/bench/bench-probe", "rest"], **bench}
        hythe.define("sleeper", rest, networkMode="bridge", **volumes)
        check = {"command": ["CMD", "true"], "interval": 10, "timeout": 5, "retries": 3}
        hythe.define("checked", {**rest, "healthCheck": check}, networkMode="bridge", **volumes)
        hythe.define("stamp", {"command": stamp, **bench}, networkMode="bridge", **volumes)
        hythe.define("stay", {"command": [*stamp, "stay"], **bench}, networkMode="bridge", **volumes)
        return hythe

    def big_image(self, packing):
        """Three layers of files as they are in images; kept between runs of the bench."""
        size, files = (120 << 20, 4000) if self.quick else (1200 << 20, 40000)
        layout = self.target / "cache" / f"big-{packing}-{files}"
        if (layout / "index.json").exists():
            return layout
        source = self.target / "cache" / f"files-{files}"
        if not source.exists():
            print(f"making an image of {files} files, once", file=sys.stderr)
            make_files(source, size, files)
        unfinished = layout.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        run(self.tools, "pack", *[source / str(layer) for layer in range(3)], "-o", f"{unfinished}:latest", "--compress", packing)
        unfinished.rename(layout)
        return layout

    @staticmethod
    def remove(place):
        """Removes what peers have left mounted below `place` and the place itself."""
        subprocess.run(["sh", "-c", f"grep -o ' {place}/[^ ]*' /proc/self/mounts | sort -r | xargs -r umount -l"], check=False)
        shutil.rmtree(place, ignore_errors=True)

    def stop(self):
        for thing in reversed(list(self.begun.values())):
            if hasattr(thing, "stop"):
                try:
                    thing.stop()
                except (Missing, OSError) as why:
                    print(f"not ended: {why}", file=sys.stderr)


def make_files(source, size, files):
    chance = random.Random(1)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 11))).encode() for _ in range(WORDS)]
    weights = [1 / (rank + 10) for rank in range(WORDS)]
    pool = b" ".join(chance.choices(words, weights, k=POOL // 6))
    unfinished = source.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    for number in range(files):
        folder = unfinished / str(number * 3 // files) / "usr" / f"part{number // 50}"
        folder.mkdir(parents=True, exist_ok=True)
        length = int(size / files * chance.choice([0.1, 0.3, 0.5, 1.1, 3.0]))
        begin = chance.randrange(len(pool) - length)
        (folder / f"file{number}").write_bytes(pool[begin:begin + length])
    unfinished.rename(source)


def machine():
    memory = next(int(one.split()[1]) for one in Path("/proc/meminfo").read_text().splitlines() if one.startswith("MemTotal"))
    processor = next((one.split(":")[1].strip() for one in Path("/proc/cpuinfo").read_text().splitlines() if one.startswith("model name")), "unknown")
    return {"date": time.strftime("%Y-%m-%d"), "kernel": os.uname().release, "processors": os.cpu_count(),
            "processor": processor, "memory_gb": round(memory / 1e6), "load": os.getloadavg()[0]}


def versions(ground):
    asked = {"hythe": [ground.hythe_program, "--version"], "docker": ["/usr/bin/docker", "--version"], "podman": ["podman", "--version"],
             "runc": ["runc", "--version"], "crun": ["crun", "--version"], "skopeo": ["skopeo", "--version"], "umoci": ["umoci", "--version"]}
    found = {}
    for name, words in asked.items():
        try:
            found[name] = run(*words).splitlines()[0]
        except (Missing, OSError, IndexError):
            found[name] = "not here"
    return found


def go_before_others():
    """Gives the bench and all that it starts a large share of the processors, where version 1 groups can say so.

    On a host that is busy with other things the rows then measure the contenders and not their queue. With a much larger
    share the kernel's own threads, which finish what the disk does, wait for a processor themselves.
    """
    group = Path("/sys/fs/cgroup/cpu") / CGROUP
    try:
        (group / "own").mkdir(parents=True, exist_ok=True)
        (group / "cpu.shares").write_text("4096")
        (group / "own" / "cgroup.procs").write_text("0")
    except OSError:
        pass


def clean_groups():
    try:
        Path("/sys/fs/cgroup/cpu/cgroup.procs").write_text("0")
    except OSError:
        pass
    for root in Path("/sys/fs/cgroup").iterdir():
        for top in [root / CGROUP]:
            for folder, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    pass


def main():
    arguments = argparse.ArgumentParser(prog="scripts/bench")
    arguments.add_argument("--quick", action="store_true", help="fewer rounds and smaller images: three minutes")
    arguments.add_argument("--binaries", type=Path, required=True, help=argparse.SUPPRESS)
    arguments.add_argument("rows", nargs="*", metavar="ROW", help=f"only these: {', '.join(ROWS)}")
    chosen = arguments.parse_args()
    unknown = [row for row in chosen.rows if row not in ROWS]
    if unknown:
        arguments.error(f"no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    target = Path("target/bench").resolve()
    (target / "cache").mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="hythe-bench-", dir="/tmp"))
    # Peers keep things in /run and /dev/shm; in this mount namespace both are the bench's own.
    for folder in ["/run", "/dev/shm"]:
        subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    go_before_others()
    ground, lines = None, []
    try:
        ground = Ground(chosen.binaries.resolve(), place, target, chosen.quick)
        found = {"machine": machine(), "versions": versions(ground), "quick": chosen.quick}
        for name in chosen.rows or ROWS:
            begun = time.monotonic()
            try:
                lines += ROWS[name](ground)
            except Exception as why:  # a row that breaks must not take the others with it
                lines.append({"row": name, "unit": "", "goal": "", "more_is_better": False, "results": {"hythe": {"failed": repr(why)}}})
            print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
            found["lines"] = report.judge(lines)
            report.write(found, target)
        print(report.table(found))
        broken = [f"{line['row']}: {line['results']['hythe']['failed']}" for line in lines if "failed" in line["results"].get("hythe", {})]
        print("\nFor README.md:\n\n" + report.summary(found, True))
    finally:
        if ground:
            ground.stop()
        clean_groups()
        Ground.remove(place)
    if broken:
        sys.exit("hythe could not run:\n" + "\n".join(broken))


if __name__ == "__main__":
    main()
