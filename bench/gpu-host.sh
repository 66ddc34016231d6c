#!/usr/bin/env bash
# Measures nibble on a Linux GPU host that may have no network, stage by stage in order of value; see --help.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'HELP'
Usage: bash bench/gpu-host.sh [options] [stage ...]

Runs the stages that fit into the time, in order of value, or only those named. Needs Node and a built nibble (npm ci &&
npm run build); what is compared with PyTorch needs a Python with torch, and bench/peers/requirements.txt for training.
Nothing is downloaded: the models are published shapes with random weights. Whatever could not be measured says so.

Stages:
  doctor        adapter, driver, features, limits
  conformance   the tests of kernels and of the GPU layer, on this device
  gemm          matrix products by tier, and by torch (cuBLAS)
  dequant       NF4 decode against a copy of buffers
  smollm2-135m  LoRA and QLoRA: step time, tokens/s and peak memory; then the same runs in PEFT
  tinyllama-1.1b
  llama-2-7b
  llama-65b     QLoRA alone, for its peak memory
  summary       the short table over everything in the folder (always run at the end)

Options:
  --minutes N   stop starting stages when N minutes are over (default 25); a running one is ended then
  --output DIR  folder of the results (default results/gpu-host); files of other runs there are kept, and joined
  --python CMD  the Python of the peers (default python3)
  --rehearse    tiny sizes, to try the script on a software driver; its figures mean nothing
  -h, --help

Examples:
  bash bench/gpu-host.sh --minutes 25
  bash bench/gpu-host.sh --output results/h200 gemm dequant
  NIBBLE_ADAPTER=lavapipe bash bench/gpu-host.sh --rehearse --minutes 10
HELP
}

minutes=25 output=results/gpu-host python=python3 rehearse=""
all=(doctor conformance gemm dequant smollm2-135m tinyllama-1.1b llama-2-7b llama-65b)
stages=()
fail() { echo "gpu-host: $*" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case "$1" in
    --minutes) minutes=${2:?--minutes needs a number}; shift 2 ;;
    --output) output=${2:?--output needs a folder}; shift 2 ;;
    --python) python=${2:?--python needs a command}; shift 2 ;;
    --rehearse) rehearse=1; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) fail "unknown option $1; --help lists them" ;;
    *)
      case " ${all[*]} summary " in *" $1 "*) stages+=("$1") ;; *) fail "unknown stage $1; --help lists them" ;; esac
      shift ;;
  esac
done
[[ $minutes =~ ^[0-9]+$ ]] || fail "--minutes is '$minutes', wanted a whole number"
[ -f dist/cli/main.js ] || fail "dist/ is missing: run npm run build first, here or where this copy was packed"
[ ${#stages[@]} -gt 0 ] || stages=("${all[@]}")
mkdir -p "$output"
deadline=$((SECONDS + 60 * minutes))
nibble=(node dist/cli/main.js)
log="$output/log.txt"

note() { echo "$(date -u +%H:%M:%S) $*" | tee -a "$log"; }

# Runs a command within the time that is left; its output goes to the log and to a file. A failure is noted, not fatal.
measure() {
  local file=$1 left=$((deadline - SECONDS))
  shift
  if [ "$left" -lt 10 ]; then note "not measured: $file (no time left)"; return 1; fi
  if timeout --kill-after=10 "$left" "$@" > "$output/$file.partial" 2>> "$log"; then
    mv "$output/$file.partial" "$output/$file"
  else
    note "not measured: $file (exit code $?): $* - see $log"
    rm -f "$output/$file.partial"
    return 1
  fi
}

torch_device() { "$python" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")' 2>> "$log" || true; }

stage_doctor() { measure doctor.json "${nibble[@]}" doctor --json && "${nibble[@]}" doctor | tee -a "$log" | head -20; }

stage_conformance() {
  NIBBLE_TEST_ADAPTER=${NIBBLE_ADAPTER:-gpu} measure conformance.txt \
    npx vitest run test/kernels test/gpu --reporter=default && tail -5 "$output/conformance.txt"
}

stage_gemm() {
  local shapes=(4096x4096x4096 4096x11008x4096 4096x4096x11008 4096x16x4096)
  [ -z "$rehearse" ] || shapes=(128x128x128 96x16x128)
  local joined
  joined=$(IFS=,; echo "${shapes[*]}")
  measure gemm.json node bench/micro/matmul.mjs --json --ops=nt "--shapes=$joined" || true
  local device
  device=$(torch_device)
  if [ -z "$device" ]; then note "not measured: gemm-torch.jsonl (no torch in $python)"; return; fi
  measure gemm-torch.jsonl "$python" bench/peers/gemm.py --device "$device" "${shapes[@]}" && cat "$output/gemm-torch.jsonl"
}

stage_dequant() {
  local shape=11008x4096
  [ -z "$rehearse" ] || shape=512x512
  measure dequant.json node bench/micro/dequant.mjs --json "--shape=$shape" && cat "$output/dequant.json"
}

# One suite in nibble, then every run of it in PEFT; both leave run files that the report joins.
stage_suite() {
  local suite=$1 flags=()
  [ -z "$rehearse" ] || flags=(--max_length 32 --max_steps 2 --per_device_train_batch_size 1 --compute_dtype float32)
  rm -rf "$output/$suite"
  measure "$suite.txt" "${nibble[@]}" bench run "bench/suites/speed-$suite.yaml" --no-report --output "$output/$suite" "${flags[@]}" || return 0
  local device config name precision=bfloat16
  device=$(torch_device)
  if [ -z "$device" ]; then note "not measured: PEFT on $suite (no torch in $python)"; return; fi
  [ "$device" = cuda ] || precision=float32
  for config in "$output/$suite"/*/runs/*/config.yaml; do
    name=$(basename "$(dirname "$config")")
    local extra=()
    case "$device-$name" in cpu-qlora*) extra=(--dequantized) ;; esac
    rm -f "$output/$suite/peers/peft-$name.run.json"
    measure "peft-$suite-$name.txt" "$python" bench/peers/peft_run.py "$config" --out "$output/$suite/peers" \
      --suite "peft-$suite" --device "$device" --precision "$precision" "${extra[@]}" || true
  done
}

stage_summary() { node bench/gpu-host-table.mjs "$output" | tee "$output/summary.txt"; }

for stage in "${stages[@]}"; do
  [ "$stage" != summary ] || continue
  if [ $((deadline - SECONDS)) -lt 30 ]; then note "not measured: $stage (of $minutes minutes nothing is left)"; continue; fi
  note "stage $stage"
  case "$stage" in
    doctor | conformance | gemm | dequant) "stage_$stage" || true ;;
    *) stage_suite "$stage" || true ;;
  esac
done
stage_summary
