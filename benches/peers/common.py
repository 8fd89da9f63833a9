"""What the peers' scripts share: arguments, threads, timing, and the JSON line that each measurement ends in.

Import this BEFORE numpy, torch or tensorflow: `setup` fixes the number of threads.
"""
import argparse
import json
import os
import resource
import sys
import time

# n, ic, h, w, oc, kh, kw, stride, padding, groups: the lines of benches/shapes/peers.txt, in its order.
CONVOLUTIONS = [
    (64, 1, 28, 28, 32, 3, 3, 1, 1, 1),
    (64, 32, 14, 14, 64, 3, 3, 1, 1, 1),
    (100, 1, 28, 28, 30, 5, 5, 1, 0, 1),
    (8, 3, 224, 224, 64, 7, 7, 2, 3, 1),
    (8, 64, 56, 56, 64, 3, 3, 1, 1, 1),
    (8, 128, 28, 28, 128, 3, 3, 1, 1, 1),
    (8, 256, 14, 14, 256, 3, 3, 1, 1, 1),
    (8, 512, 7, 7, 512, 3, 3, 1, 1, 1),
    (8, 256, 56, 56, 64, 1, 1, 1, 0, 1),
    (8, 3, 227, 227, 96, 11, 11, 4, 0, 1),
    (8, 96, 56, 56, 96, 3, 3, 1, 1, 96),
]

SMALL = ("keras-mnist", "simple-convnet")  # 28x28 in one channel, ten classes; the others 224x224 in three, a thousand

CACHE = os.environ.get("STRIATE_PEERS_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "striate", "peers")


def arguments(variants, default):
    a = argparse.ArgumentParser()
    a.add_argument("work", help="train NETWORK, infer NETWORK or conv INDEX", nargs=2)
    a.add_argument("--variant", default=default, help=variants)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--batch", type=int, default=1)
    a.add_argument("--seconds", type=float, default=0.4, help="time to measure for each line of the input, at least")
    a.add_argument("--warm", type=float, default=0.5, help="time to warm up, at least")
    return setup(a.parse_args())


def setup(a):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(a.threads)
    if a.threads == 1:  # helper threads of a library would use a second core
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    a.task, a.name = a.work
    return a


def keep_blocks():
    """Tells glibc to keep large blocks instead of giving them back after each step. A user has to know this trick."""
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        os.environ.update(MALLOC_MMAP_THRESHOLD_="4000000000", MALLOC_TRIM_THRESHOLD_="8000000000")
        os.execv(sys.executable, [sys.executable] + sys.argv)


def serve(a, version, **steps):
    """Warms up and says so; then, for each line of the input, measures each step and prints a line of JSON for each.

    A step's name is what it passes through: `forward`, `all`, or `step` where there is one alone.
    """
    for step in steps.values():
        start, count = time.perf_counter(), 0
        while count < 3 or time.perf_counter() - start < a.warm:
            step()
            count += 1
    for _ in orders():
        for name, step in steps.items():
            report(a, version, times(step, a.seconds), passes=name)


def orders():
    """Says that all is warm, then that each order was carried out."""
    print(json.dumps(dict(ready=True)), flush=True)
    for line in sys.stdin:
        yield line
        print(json.dumps(dict(done=True)), flush=True)


def times(step, seconds):
    """Milliseconds of each step in so many seconds, twice at least. The first, which meets the caches of others, is dropped."""
    step()
    all, start = [], time.perf_counter()
    while len(all) < 2 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        step()
        all.append((time.perf_counter() - before) * 1e3)
    return all


def report(a, version, times, **more):
    times = sorted(times)
    at = lambda share: times[round(share * (len(times) - 1))]
    line = dict(version=version, work=f"{a.task} {a.name}", variant=a.variant, batch=a.batch, threads=a.threads,
                median_ms=at(0.5), p10_ms=at(0.1), p90_ms=at(0.9), steps=len(times),
                peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)
    print(json.dumps(line | more), flush=True)
