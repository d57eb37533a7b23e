"""What the bench starts on this host: a registry, hythe's daemon, docker's; and how podman and the runtimes are called.

Everything runs in the network and mount namespaces that scripts/bench has made, below one directory, and ends with it.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

# Of this run alone: a daemon clears away what it finds below its groups, and two benches may run at once.
CGROUP = f"hythe-bench-{os.getpid()}"
# Where CAP_SYS_RESOURCE is missing, the peers cannot raise the limits that they would set by themselves.
ULIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]


class Missing(Exception):
    """A peer that cannot run here, and why."""


def has(program):
    return shutil.which(program) is not None


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "without a word").splitlines()[-1]
        raise Missing(f"{Path(str(words[0])).name} {words[1]}: {last}")
    return done.stdout


def until(what, limit, seen):
    """Waits until `seen` gives something, and gives it."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found = seen()
        if found:
            return found
        time.sleep(0.02)
    raise Missing(f"{what} was not seen within {limit} s")


def children_of(pid):
    """A process and everything below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(text.rsplit(") ", 1)[1].split()[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo.extend(parents.get(one, []))
    return found


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def pss(pid):
    """Proportional memory of a process in MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def groups_with_limits(name):
    """A group in each hierarchy of the host, whose parents are made, and the limits of the bench's bundle in them."""
    roots = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
    groups = [root / CGROUP / name for root in roots if (root / "cgroup.procs").exists() and not root.is_symlink()]
    for group in groups:
        group.parent.mkdir(exist_ok=True)
    limits = {"cpu.shares": 512, "cpu.cfs_quota_us": 50000, "memory.limit_in_bytes": 64 << 20, "pids.max": 64, "devices.deny": "a",
              "cpu.weight": 50, "cpu.max": 50000, "memory.max": 64 << 20}
    settings = [f"{group / file}={value}" for group in groups for file, value in limits.items() if (group.parent / file).exists()]
    return [*map(str, groups), *settings]


class Server:
    """A program that runs for as long as the bench needs it."""

    def __init__(self, name, words, log, **options):
        self.log = log
        self.process = subprocess.Popen([str(word) for word in words], stdout=open(log, "wb"), stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL, **options)
        self.name = name

    def wait_until(self, seen, limit=30):
        def check():
            if self.process.poll() is not None:
                lines = Path(self.log).read_text(errors="replace").strip().splitlines()
                raise Missing(f"{self.name} ended: {lines[-1] if lines else 'without a word'}")
            try:
                return seen()
            except (OSError, Missing):
                return None
        until(f"{self.name}", limit, check)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("bench")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


class Hythe:
    """One instance of hythe."""

    def __init__(self, program, place, settings=""):
        self.program, self.place = program, place
        self.socket = place / "run" / "hythe.sock"
        self.state = place / "state"
        (place / "run").mkdir(parents=True, exist_ok=True)
        config = place / "hythe.toml"
        config.write_text(f"""
state_dir = "{self.state}"
runtime_dir = "{place}/run"
cgroup_parent = "{CGROUP}"
[network]
bridge = "hythe-bench"
subnet = "10.87.0.0/16"
table = "hythe-bench"
[host]
cpu = 100000000
memory = 100000000
[images]
pull_policy = "prefer-cached"
[containers]
log_max_size = "8gb"
[services]
healthy_after = 1
[history]
most_tasks = 20000
{settings}""")
        os.environ["HYTHE_SOCKET"] = str(self.socket)
        self.config = config
        self.server = None
        self.begin()

    def begin(self):
        self.server = Server("hythe daemon", [self.program, "daemon", "--config", self.config], self.place / "hythe.log")
        self.server.wait_until(lambda: self.call("DescribeClusters", {}))

    @property
    def pid(self):
        return self.server.process.pid

    def call(self, operation, request):
        connection = UnixConnection(self.socket)
        connection.request("POST", "/", json.dumps(request), {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"AmazonEC2ContainerServiceV20141113.{operation}"})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        if answer.status != 200:
            raise Missing(f"{operation}: {body}")
        return body

    def define(self, family, container, **members):
        container = {"name": "main", "image": "bench/small", "memory": 32, **container}
        self.call("RegisterTaskDefinition", {"family": family, "containerDefinitions": [container], **members})

    def counts(self):
        cluster = self.call("DescribeClusters", {"clusters": ["default"]})["clusters"][0]
        return cluster["runningTasksCount"], cluster["pendingTasksCount"]

    def is_swept(self):
        return not any(not entry.name.startswith(".") for entry in (self.state / "tasks").iterdir())

    def tasks(self):
        found, page = [], {}
        while True:
            answer = self.call("ListTasks", {"cluster": "default", **page})
            found += answer["taskArns"]
            if not answer.get("nextToken"):
                return found
            page = {"nextToken": answer["nextToken"]}

    def stop_all(self):
        for task in self.tasks():
            self.call("StopTask", {"cluster": "default", "task": task})
        until("the end of all tasks", 120, lambda: self.counts() == (0, 0) and self.is_swept())

    def shims(self):
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if len(words) > 2 and words[1] == b"shim" and words[2].startswith(str(self.state).encode()):
                    found.append(int(entry.name))
        return found

    def stop(self):
        if self.server.process.poll() is None:
            try:
                self.stop_all()
            except (Missing, OSError):
                pass
        self.server.stop()


class Docker:
    """A private dockerd."""

    def __init__(self, place):
        if not has("dockerd"):
            raise Missing("docker.io is not installed")
        self.socket = place / "docker.sock"
        place.mkdir(parents=True, exist_ok=True)
        (place / "home").mkdir(exist_ok=True)
        (place / "home" / "config.json").write_text("{}")
        # An empty configuration, whatever the host's own says.
        (place / "none.json").write_text("{}")
        program = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"
        self.words = [program, "-H", f"unix://{self.socket}", "--config", str(place / "home")]
        self.server = Server("dockerd", [
            "dockerd", "-H", f"unix://{self.socket}", "--data-root", place / "data", "--exec-root", place / "exec",
            "--pidfile", place / "docker.pid", "--config-file", place / "none.json", "--cgroup-parent", f"/{CGROUP}/docker",
            "--exec-opt", "native.cgroupdriver=cgroupfs", "--bip", "10.88.0.1/16"], place / "docker.log")
        self.server.wait_until(lambda: run(*self.words, "version"), 60)

    @property
    def pid(self):
        return self.server.process.pid

    def run(self, *words):
        return run(*self.words, *words)

    def stop(self):
        try:
            ids = self.run("ps", "-aq").split()
            if ids:
                self.run("rm", "-f", *ids)
        except Missing:
            pass
        self.server.stop()


class Podman:
    """podman with a storage of its own."""

    def __init__(self, place):
        if not has("podman"):
            raise Missing("podman is not installed")
        place.mkdir(parents=True, exist_ok=True)
        self.words = ["podman", "--root", str(place / "root"), "--runroot", str(place / "run"), "--tmpdir", str(place / "tmp"),
                      "--cgroup-manager", "cgroupfs", "--runtime", "runc", "--events-backend", "file", "--log-level", "error"]
        self.flags = [*ULIMITS, "--cgroup-parent", f"/{CGROUP}/podman"]

    def run(self, *words):
        return run(*self.words, *words)


class Registry:
    """A registry on loopback."""

    def __init__(self, place, port=5087):
        if not has("docker-registry"):
            raise Missing("docker-registry is not installed")
        place.mkdir(parents=True, exist_ok=True)
        self.name = f"127.0.0.1:{port}"
        config = place / "registry.yml"
        config.write_text(f"""version: 0.1
log: {{ level: error }}
storage: {{ filesystem: {{ rootdirectory: {place}/data }}, delete: {{ enabled: true }} }}
http: {{ addr: "{self.name}" }}
""")
        self.server = Server("docker-registry", ["docker-registry", "serve", config], place / "registry.log")
        def answers():
            with socket.create_connection(("127.0.0.1", port), 1):
                return True
        self.server.wait_until(answers)

    def stop(self):
        self.server.stop()


def cover_unified(place):
    """A mount namespace in which the version 2 hierarchy of a hybrid host is covered: crun refuses to see both.

    Gives the file of the namespace and the process that keeps it; nothing where there is nothing to cover.
    """
    unified = Path("/sys/fs/cgroup/unified")
    if not unified.is_dir():
        return None, None
    keeper = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                               f"mount -t tmpfs none {unified} && touch {place}/covered && exec sleep infinity"])
    until("the covered hierarchy", 10, lambda: (place / "covered").exists())
    return f"/proc/{keeper.pid}/ns/mnt", keeper
