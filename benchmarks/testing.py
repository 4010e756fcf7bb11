"""Speed and memory of the tests, next to their peers, in one table.

    python benchmarks/testing.py

Times are CPU seconds of one process on one core, the best of a few runs, so that other work on
the machine counts little. The peers run in the same process on the same data. Compiling is
timed apart, in fresh processes with an empty cache. Memory is the growth of the process's
resident peak (Linux only), in a process of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from peak_memory import peak_bytes
from rich.console import Console
from rich.table import Table

ONE_CORE = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

PAIRS = 30
SLICES = 16_320
HEADS = 720
FLIPS = 10_000
RESULT_SECONDS = {1: 8, 8: 15}
"""Limit on testing one result, by wordings per role."""


@dataclass
class Row:
    """A line of the table."""

    work: str
    ours: str
    peer: str
    ratio: str
    goal: str
    reached: bool | None


def within(work: str, seconds: float, limit: float, parts: str = "") -> Row:
    """Work whose CPU time has a limit."""
    return Row(
        work,
        f"{seconds:.2f} s",
        parts or f"limit {limit:g} s",
        f"{limit / seconds:.1f}x",
        f"<= {limit:g} s",
        seconds <= limit,
    )


def study(units: int, *, pairs: int = PAIRS, seed: int = 0) -> np.ndarray:
    """Differences like a study's: most units have an effect, noise is shared among units."""
    generator = np.random.default_rng(seed)
    shared = generator.normal(size=(pairs, 6)) @ generator.normal(size=(6, units)) / 3
    noise = shared + generator.normal(size=(pairs, units))
    return np.asarray(noise + generator.normal(0, 1.6, units))


def cpu_seconds(work: Callable[[], object], runs: int) -> float:
    """Least CPU time of a few runs."""
    times = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def null_of(differences: np.ndarray, flips: str | int, threads: int = 1) -> Callable[[], object]:
    """Counts over |t| > 3 and 5, largest |t|, family-wise p: everything but each unit's own p."""
    from otherview.stats.chunks import Running
    from otherview.stats.fixed_point import fixed_point
    from otherview.stats.flip_plan import sign_flip_null
    from otherview.stats.paired import block_means

    def work() -> object:
        points = fixed_point(block_means(differences, None).values, (3.0, 5.0))
        order = np.argsort(points.observed, kind="stable")
        return sign_flip_null(points.take(order), flips, 0.05, 0, Running(threads))

    return work


def mne_test(differences: np.ndarray, flips: int) -> Callable[[], object]:
    from mne.stats import permutation_t_test

    return lambda: permutation_t_test(differences, flips, n_jobs=1, rng=0, verbose=False)


def nilearn_test(differences: np.ndarray, flips: int) -> Callable[[], object]:
    from nilearn.mass_univariate import permuted_ols

    ones = np.ones((len(differences), 1))
    return lambda: permuted_ols(
        ones, differences, model_intercept=False, n_perm=flips, n_jobs=1, random_state=0, verbose=0
    )


def scipy_test(differences: np.ndarray, flips: int) -> Callable[[], object]:
    from scipy.stats import permutation_test

    def t(values: np.ndarray, axis: int) -> np.ndarray:
        error = values.std(axis=axis, ddof=1) / np.sqrt(values.shape[axis])
        return np.asarray(values.mean(axis=axis) / error)

    return lambda: permutation_test(
        (differences,), t, permutation_type="samples", n_resamples=flips, batch=10, rng=0
    )


def against_peers() -> list[Row]:
    """10,000 drawn flips of all slices."""
    differences = study(SLICES)
    work = null_of(differences, FLIPS)
    work()
    ours = cpu_seconds(work, 5)
    rows = []
    peers = [
        ("MNE permutation_t_test", mne_test, FLIPS, 30),
        ("nilearn permuted_ols", nilearn_test, FLIPS, 15),
        ("scipy permutation_test", scipy_test, 100, 60),
    ]
    for name, test, flips, goal in peers:
        try:
            peer = test(differences, flips)
        except ImportError:
            rows.append(Row("", f"{ours:.2f} s", f"{name}: not installed", "", f"{goal}x", None))
            continue
        seconds = cpu_seconds(peer, 1 if flips == FLIPS else 3) * FLIPS / flips
        note = "" if flips == FLIPS else f" (from {flips} flips)"
        rows.append(
            Row(
                f"{FLIPS:,} flips of {SLICES:,} units, {PAIRS} pairs: counts, max, step-down",
                f"{ours:.2f} s",
                f"{name} {seconds:.1f} s{note}",
                f"{seconds / ours:.0f}x",
                f">= {goal}x",
                seconds / ours >= goal,
            )
        )
    return rows


def exact_p() -> list[Row]:
    """p of every slice by meet in the middle."""
    from otherview.stats.chunks import Running
    from otherview.stats.sign_flip_p import sign_flip_p

    rows = []
    for name, values in (
        ("with effects", study(SLICES)),
        ("no effects (slowest)", np.random.default_rng(1).normal(size=(PAIRS, SLICES))),
    ):
        sign_flip_p(values[:, :10], Running(1))
        seconds = cpu_seconds(partial(sign_flip_p, values, Running(1)), 3)
        rows.append(within(f"exact p of {SLICES:,} units, {PAIRS} pairs, {name}", seconds, 6))
    return rows


def responses(units: int, wordings: int) -> np.ndarray:
    """Fixed responses `[items, 2 x wordings, units]`, the wordings of the test role first.

    Wordings differ, some units follow the role, and items differ in how they respond to it.
    """
    generator = np.random.default_rng([units, wordings])
    role = np.repeat([1.0, 0.0], wordings)[:, None]
    of_wording = 0.5 * generator.normal(size=(2 * wordings, units))
    of_role = generator.normal(0, 0.7, units) * (generator.random(units) < 0.7)
    shared = generator.normal(size=(PAIRS, 1, 6)) @ generator.normal(size=(6, units)) / 3
    of_item = 0.5 * (shared + generator.normal(size=(PAIRS, 1, units)))
    noise = 0.5 * generator.normal(size=(PAIRS, 2 * wordings, units))
    return np.asarray(of_wording + role * (of_role + of_item) + noise)


def result_seconds(values: np.ndarray) -> dict[str, float]:
    """CPU seconds of each statistic that the analysis of a study asks; `values` are `responses`."""
    from otherview.analysis.statistics import STATISTICS, Question
    from otherview.study import Nulls

    wordings = values.shape[1] // 2
    question = Question(
        unit_set="heads" if values.shape[2] == HEADS else "slices16",
        by_scene=values[:, :, None],
        differences=values[:, :wordings].mean(axis=1) - values[:, wordings:].mean(axis=1),
        roles=["test"] * wordings + ["control"] * wordings,
        strata=None,
        ranks=range(PAIRS),
        text_distance=np.random.default_rng(0).random(PAIRS),
        nulls=Nulls(),
        seed=0,
        report=lambda _doing: None,
    )
    asked = [statistic for statistic in STATISTICS if statistic.asked(question)]
    return {one.name: cpu_seconds(partial(one.of, question), 1) for one in asked}


def whole_result() -> list[Row]:
    """Every test of a result of Klein's size: heads and slices."""
    result_seconds(responses(50, 8))
    rows = []
    for wordings, limit in RESULT_SECONDS.items():
        heads, slices = (result_seconds(responses(units, wordings)) for units in (HEADS, SLICES))
        work = (
            f"all tests of {HEADS} heads and {SLICES:,} slices, {PAIRS} items, "
            f"{wordings} wording{'s'[: wordings > 1]} per role"
        )
        parts = ", ".join(f"{name} {heads[name] + slices.get(name, 0.0):.1f}" for name in heads)
        rows.append(within(work, sum(heads.values()) + sum(slices.values()), limit, parts))
    return rows


def all_patterns(patience: float) -> list[Row]:
    """All 2^29 patterns of all heads, and how two cores share the work."""
    rows = []
    small = study(HEADS, pairs=20)
    null_of(small, "exact")()
    for name, differences in (
        ("with effects", study(HEADS)),
        ("no effects", np.random.default_rng(1).normal(size=(PAIRS, HEADS))),
    ):
        seconds = cpu_seconds(null_of(differences, "exact"), 2)
        work = f"all 2^{PAIRS - 1} flips of {HEADS} units, {name}: counts, max, step-down"
        rows.append(within(work, seconds, 20))
    if (os.cpu_count() or 1) >= 2:
        rows.append(two_cores(study(HEADS, pairs=28), patience))
    return rows


def two_cores(differences: np.ndarray, patience: float) -> Row:
    """Wall time on one core over wall time on two, in the best of the tries.

    Both cores must be free for it. What does not depend on that is printed with it: the CPU
    time that two threads take in all, relative to one (1 if they do not get in each other's way).
    """
    best = (0.0, 0.0, 0.0)
    least_cpu = [np.inf, np.inf]
    end = time.monotonic() + patience
    while True:
        load = os.getloadavg()[0]
        walls = []
        for threads in (1, 2):
            begin, cpu_begin = time.perf_counter(), time.process_time()
            null_of(differences, "exact", threads)()
            walls.append(time.perf_counter() - begin)
            cpu = time.process_time() - cpu_begin
            least_cpu[threads - 1] = min(least_cpu[threads - 1], cpu)
        best = max(best, (walls[0] / walls[1], walls[0], load))
        if best[0] >= 1.7 or time.monotonic() > end:
            break
    overhead = least_cpu[1] / least_cpu[0]
    return Row(
        f"two cores: all 2^27 flips of {HEADS} units (load {best[2]:.1f}; {overhead:.2f}x the CPU)",
        f"{best[1] / best[0]:.1f} s wall",
        f"one core {best[1]:.1f} s wall",
        f"{best[0]:.2f}x",
        ">= 1.7x",
        best[0] >= 1.7,
    )


def measure_memory(flips: int) -> None:
    """Print the MB by which the resident peak exceeds what was resident before."""
    differences = study(SLICES)
    null_of(differences[:, :64], 100)()
    before = psutil.Process().memory_info().rss / 2**20
    Path("/proc/self/clear_refs").write_text("5")
    null_of(differences, flips)()
    print(peak_bytes() / 2**20 - before)


def measure_first_call() -> None:
    """Print CPU seconds of the import, and of first small tests that use every kernel."""
    begin = time.process_time()
    from otherview.stats import sign_flip_test

    imported = time.process_time()
    sign_flip_test(np.random.default_rng(0).normal(size=(20, 500)), flips="exact", threads=1)
    null_of(study(200, pairs=24), "exact")()
    sign_flip_test(np.random.default_rng(0).normal(size=(45, 4)), flips=10, threads=1)
    print(imported - begin, time.process_time() - imported)


def in_new_process(*arguments: str, cache: str | None = None) -> list[float]:
    """Numbers that this script prints when run again with the given arguments."""
    environment = dict(os.environ)
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = cache
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(number) for number in done.stdout.split()]


def memory() -> list[Row]:
    """Extra memory of drawn flips, and that it does not grow with them."""
    if not Path("/proc/self/clear_refs").exists():
        return []
    few, many = (in_new_process("--memory", str(flips))[0] for flips in (FLIPS, 20 * FLIPS))
    work = f"extra memory, {FLIPS:,} flips of {SLICES:,} units"
    return [
        Row(work, f"{few:.0f} MB", "limit 64 MB", f"{64 / few:.1f}x", "<= 64 MB", few <= 64),
        Row(
            f"the same with {20 * FLIPS:,} flips",
            f"{many:.0f} MB",
            f"{few:.0f} MB",
            f"{many / few:.2f}x",
            "flat (<= 1.1x)",
            many <= 1.1 * few + 1,
        ),
    ]


def compiling() -> list[Row]:
    """Time of a first test in a process, with and without compiled kernels on disk."""
    with tempfile.TemporaryDirectory() as cache:
        imported, cold = in_new_process("--first-call", cache=cache)
        _, warm = in_new_process("--first-call", cache=cache)
    return [
        Row(
            "first tests of a process, kernels cached on disk",
            f"{warm:.1f} s",
            f"{cold:.1f} s to compile them",
            f"{cold / warm:.0f}x",
            "apart",
            None,
        ),
        Row(
            "import otherview.stats, after NumPy",
            f"{1000 * imported:.0f} ms",
            "",
            "",
            "apart",
            None,
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", type=int, metavar="FLIPS", help="measure memory alone")
    parser.add_argument("--first-call", action="store_true", help="measure the first call alone")
    parser.add_argument("--result", action="store_true", help="time the tests of a result alone")
    parser.add_argument("--patience", type=float, default=120, help="seconds to wait for two cores")
    arguments = parser.parse_args()
    if not ONE_CORE.items() <= os.environ.items():
        # Thread pools read these when NumPy is loaded, which it is by now.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_CORE})
    if arguments.memory:
        measure_memory(arguments.memory)
        return
    if arguments.first_call:
        measure_first_call()
        return
    rows = whole_result()
    if not arguments.result:
        rows += [*compiling(), *memory(), *exact_p(), *against_peers()]
        rows += all_patterns(arguments.patience)
    table = Table(title="Tests: CPU seconds of one core, best of a few runs")
    for name in ("work", "ours", "peer or limit", "ratio", "goal", "reached"):
        table.add_column(name, overflow="fold")
    for row in rows:
        reached = {True: "yes", False: "NO", None: "-"}[row.reached]
        table.add_row(row.work, row.ours, row.peer, row.ratio, row.goal, reached)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
