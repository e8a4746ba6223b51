"""Measure what is promised: scripts/benchmark.py data|start|engine|curve|length|ablation|levers|...

``data`` needs MNE_DATA for the comparison with MOABB, ``engine`` braindecode for that with its networks. Every figure
is printed beside its goal.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks import (
    ablation,
    curve,
    data,
    diagnosis,
    engine,
    filters,
    gpu,
    halves,
    length,
    levers,
    pretraining,
    pruning,
    report,
    scale,
    search,
    start,
    threads,
    trainers,
    transfer,
    workers,
)

TASKS = {
    "data": data.measure_data, "prepare-2a": data.prepare_2a, "load-2a": data.load_2a, "moabb": data.against_moabb,
    "start": start.measure_start, "first-step": start.first_step,
    "length": length.measure_length, "length-of": length.one_kernel,
    "engine": engine.measure_engine, "machine": engine.machine, "epochs": engine.epochs, "runs": engine.runs,
    "curve": curve.measure_curve, "ablation": ablation.measure_ablation, "halves": halves.measure_halves,
    "transfer": transfer.measure_transfer, "pretraining": pretraining.measure_pretraining,
    "report": report.measure_report, "levers": levers.measure_levers, "diagnosis": diagnosis.measure_diagnosis,
    "gpu": gpu.measure_gpu, "scale": scale.measure_scale, "scale-of": scale.one_size, "sweep": search.measure_search,
    "workers": workers.measure_workers, "worker": workers.one_worker, "pruning": pruning.measure_pruning,
    "threads": threads.measure_threads, "filters": filters.measure_filters,
    "trainers": trainers.measure_trainers,
}    # fmt: skip
WRITERS = (    # of tables and figures
    ablation, curve, diagnosis, engine, filters, gpu, halves, length, levers, pretraining, pruning, scale, search,
    threads, trainers, transfer, workers,
)    # fmt: skip

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure what the project promises.")
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("what", nargs="*", help="of parts: which network, whose form; variants; levers")
    parser.add_argument("--folder", type=Path, help="of the caches; default: a temporary one")
    parser.add_argument("--out", type=Path, default=Path("notebooks/benchmarks"), help="of tables and figures")
    arguments = parser.parse_intermixed_args()    # names may stand behind --folder
    with tempfile.TemporaryDirectory() as temporary:
        for module in WRITERS:
            vars(module)["OUT"] = arguments.out
        TASKS[arguments.task](arguments.folder or Path(temporary), *arguments.what)
