#!/usr/bin/env bash
# All that a GPU has to prove, in nine minutes: unpack what the machine lacks, run every step, write what came of it.
#
#   make gpu-bundle                      here, once: packs .gpu-bundle/
#   bash benchmarks/gpu/go.sh            there: writes gpu.json, gpu.md, gpu.log and traces into $OUT (or runs/gpu)
#   bash benchmarks/gpu/go.sh --dry      the same steps at tiny sizes on the CPU, with or without a bundle
#
# PYTHON names the interpreter (python3); BUNDLE=none runs with what is installed. Further words go to run_all.py.
set -uo pipefail
begun=$(date +%s)
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}
out=${OUT:-$root/runs/gpu}
bundle=${BUNDLE:-$root/.gpu-bundle/site.tar.xz}
site=${SITE:-/tmp/scalaw-gpu-site}
mkdir -p "$out"
export PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0 RAY_DISABLE_IMPORT_WARNING=1 TOKENIZERS_PARALLELISM=false
if [ "$bundle" != none ] && [ -f "$bundle" ]; then
  # tarfile keeps the run bits of Ray's binaries, and needs no xz on the machine
  rm -rf "$site" && mkdir -p "$site"
  "$python" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="tar")' "$bundle" "$site" \
    || echo "the bundle could not be unpacked: going on with what is installed"
  export PYTHONPATH="$root:$site${PYTHONPATH:+:$PYTHONPATH}"
else
  echo "no bundle at $bundle: going on with what is installed"
  export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
fi
cd "$root" || exit 1
exec "$python" "$here/run_all.py" --out "$out" --begun "$begun" "$@"
