"""Pull and unpack of three layers from a registry on loopback, each time into an empty store of its own.

Nothing that was pulled is removed before the row is over. ext4 without a journal passes over inodes that were deleted in
the last minutes, one by one for every file that is made: whoever came after others' removals would pay for them. And
each store has a part of the disk of its own. ext4 chooses that by the name, so no two have the same; podman wants it short.
"""

import fcntl
import os
import secrets
import struct
import time
from pathlib import Path

from host import Docker, Hythe, Missing, Podman, has, run
from report import line, not_run, seen

# The requests for a file's flags, and the flag of a directory whose directories have nothing to do with each other.
GET_FLAGS, SET_FLAGS, TOP_OF_HIERARCHIES = 0x80086601, 0x40086602, 0x00020000


def gzip(ground):
    """Layers as most registries have them."""
    return pull(ground, "gzip")


def zstd(ground):
    """The same layers, packed with zstd."""
    return pull(ground, "zstd")


def pull(ground, packing):
    layout, rounds = ground.big_image(packing), 1 if ground.quick else 2
    name = f"{ground.registry().name}/bench/big-{packing}:latest"
    run(ground.tools, "push", f"{layout}:latest", name)
    blobs = sorted((layout / "blobs" / "sha256").iterdir(), key=lambda one: one.stat().st_size)
    size = sum(one.stat().st_size for one in blobs) / 1e6
    contenders = {"hythe": hythe, "podman": podman, "docker": docker, "skopeo + umoci": skopeo_and_umoci}
    if packing == "gzip":
        contenders["gzip -dc, one core"] = lambda *_: decompression(blobs[-3:])
    ground.end_daemons()
    stores = ground.place / packing
    make_top(stores)
    results, samples, peak = {}, {}, []
    try:
        for _ in range(rounds):
            for contender, begin in contenders.items():
                if contender in results:
                    continue
                try:
                    took, most = one_pull(begin, ground, stores / secrets.token_hex(3), name)
                except Missing as why:
                    results[contender] = not_run(why)
                    continue
                samples.setdefault(contender, []).append(took)
                peak += [most] if contender == "hythe" else []
    finally:
        ground.remove(stores)
    results.update({name: seen(times) for name, times in samples.items()})
    return [line(f"pull and unpack, 3 {packing} layers, {size:.0f} MB, on disk", "s", "≤ 1/3 of the fastest peer", results),
            line(f"memory of that, {packing}", "MB", "≤ 64 MB", {"hythe": seen(peak) if peak else results["hythe"]})]


def one_pull(begin, ground, store, name):
    """Seconds until all is on disk, and the most memory in MB that the contender's daemon has had, if it has one."""
    store.mkdir()
    words, daemon = begin(ground, store, name)
    try:
        os.sync()  # what others have left to write is nobody's here
        begun = time.monotonic()
        run(*words)
        os.sync()
        return time.monotonic() - begun, high_water(daemon.pid) if daemon else 0
    finally:
        if daemon:
            daemon.stop()


def hythe(ground, store, name):
    return [ground.hythe_program, "image", "pull", name], Hythe(ground.hythe_program, store)


def podman(_, store, name):
    return [*Podman(store).words, "pull", "--tls-verify=false", name], None


def docker(_, store, name):
    daemon = Docker(store)
    return [*daemon.words, "pull", name], daemon


def skopeo_and_umoci(_, store, name):
    if not (has("skopeo") and has("umoci")):
        raise Missing("not installed")
    both = (f"skopeo copy --src-tls-verify=false docker://{name} oci:{store}/oci:latest && "
            f"umoci unpack --image {store}/oci:latest {store}/bundle")
    return ["sh", "-c", both], None


def decompression(blobs):
    return ["sh", "-c", "gzip -dc " + " ".join(map(str, blobs)) + " >/dev/null"], None


def make_top(directory):
    """Makes a directory in which each directory gets a part of the disk of its own, where the file system knows that."""
    directory.mkdir()
    opened = os.open(directory, os.O_RDONLY)
    try:
        flags, = struct.unpack("i", fcntl.ioctl(opened, GET_FLAGS, bytes(4)))
        fcntl.ioctl(opened, SET_FLAGS, struct.pack("i", flags | TOP_OF_HIERARCHIES))
    except OSError:
        pass
    finally:
        os.close(opened)


def high_water(pid):
    for entry in Path(f"/proc/{pid}/status").read_text().splitlines():
        if entry.startswith("VmHWM"):
            return int(entry.split()[1]) / 1024
    return 0.0
