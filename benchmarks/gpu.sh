#!/bin/sh
# On a machine with a GPU, without a network: does CUDA agree with the CPU, what does it gain, and as
# much of the paper profile as the time allows, on the GPU and on the cores at once. What only a GPU
# can run comes first and has it to itself; CIFAR-10 must be there (HIERLEARN_DATA=FOLDER).
#
#     benchmarks/gpu.sh [SECONDS [FOLDER]]        PYTHON=python3 BENCHMARK=90
#
# FOLDER, _build/gpu unless given, gets log.txt, and records.tar.gz with the groups that were done:
# unpack it where the book is, and `python -m hierlearn freeze --profile paper --records` it. Where
# nothing is installed, PYTHONPATH must lead to the packages that pyproject.toml names, and pytest.
set -u
cd "$(dirname "$0")/.." || exit
seconds=${1:-300} out=${2:-_build/gpu} python=${PYTHON:-python3}
work=_build/gpu-records
case $seconds in '' | *[!0-9]*) echo "SECONDS is '$seconds'; valid: a whole number" >&2; exit 2 ;; esac
"$python" -c '' || { echo "PYTHON is '$python', which does not run" >&2; exit 2; }
export PYTHONPATH="$PWD/src:$PWD/tests:${PYTHONPATH:-}" PYTHONUNBUFFERED=1
case ${BENCHMARK:-90} in *[!0-9]*) echo "BENCHMARK is '$BENCHMARK'; valid: a whole number" >&2; exit 2 ;; esac
mkdir -p "$out" && out=$(cd "$out" && pwd) && [ -n "$out" ] && [ -w "$out" ] ||
    { echo "FOLDER is '${2:-_build/gpu}'; valid: a folder that can be written" >&2; exit 2; }
trap archive EXIT
trap 'kill $jobs 2>/dev/null; exit 143' HUP INT TERM
failed=0 jobs=

# What needs a GPU; what it gains most on, in shares that take about as long; the cores take the rest.
full="images_full"
kernels="kernel_half_error kernel_certificates kernel_spans"
balls="ball_sum ball_uniform"
strings="rhm_deep rhm_layerwise chain_rescue network_samples network_sums two_layer"
sgd="joint_sgd"
levels="staged_levels frozen_features free_readout look_back turns depth width"

archive() {  # one folder of records; no experiment is in two shares
    mkdir -p "$work/all"
    for name in full kernels balls strings sgd levels rest; do
        [ ! -d "$work/$name" ] || cp -R "$work/$name/." "$work/all/"
    done
    tar -czf "$out/records.tar.gz" -C "$work/all" .
}

compute() {  # NAME DEVICE WORKERS EXPERIMENT...; in the background only, where a signal must reach it
    name=$1 device=$2 workers=$3
    shift 3
    exec "$python" -m hierlearn compute "$@" --profile paper --device "$device" --workers "$workers" \
        --budget "$seconds" --records "$work/$name" >"$out/$name.txt" 2>&1
}

{
    "$python" -c 'import platform, torch; print(platform.python_version(), torch.__version__)
from hierlearn.engine import devices
print(devices.describe(devices.resolve("auto")), "|", devices.machine())'
    if [ "${BENCHMARK:-90}" -gt 0 ]; then
        timeout 120 "$python" -m pytest -q -n 6 -p no:cacheprovider -k "${TESTS:-}" \
            tests/engine/test_cuda.py
        OMP_NUM_THREADS=1 timeout "${BENCHMARK:-90}" "$python" benchmarks/gpu.py --repeats 3
    fi
} >"$out/log.txt" 2>&1

if [ "$seconds" -gt 0 ]; then
    rest=$("$python" -c '
import sys
from importlib.util import find_spec
from hierlearn.registry import EXPERIMENTS
left_out = sys.argv[1:] if find_spec("sklearn") else [*sys.argv[1:], "map"]  # its learners
print(*(name for name in EXPERIMENTS if name not in left_out))' $full $kernels $balls $strings $sgd $levels)
    cores=$("$python" -c 'from hierlearn.engine import devices; print(max(devices.available_cores() - 5, 1))')
    compute rest cpu "$cores" $rest &
    rest=$! began=$(date +%s)
    compute full cuda 1 $full &
    jobs="$rest $!"
    wait "$!" || failed=1
    jobs=$rest
    seconds=$((seconds - $(date +%s) + began))
    [ "$seconds" -gt 0 ] || seconds=0
    compute kernels cuda 1 $kernels &
    jobs="$jobs $!"
    compute balls cuda 1 $balls &
    jobs="$jobs $!"
    compute strings cuda 1 $strings &
    jobs="$jobs $!"
    compute sgd cuda 1 $sgd &
    jobs="$jobs $!"
    compute levels cuda 1 $levels &
    jobs="$jobs $!"
    for job in $jobs; do
        wait "$job" || failed=1
    done
    for name in full kernels balls strings sgd levels rest; do
        tr '\r' '\n' <"$out/$name.txt" >>"$out/log.txt"
        rm "$out/$name.txt"
    done
fi
tail -n 60 "$out/log.txt"
exit "$failed"
