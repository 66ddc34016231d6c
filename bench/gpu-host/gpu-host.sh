#!/usr/bin/env bash
# Measures nibble on a Linux GPU host that may have no network, stage by stage in order of value; see --help.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() {
  cat <<'HELP'
Usage: bash bench/gpu-host/gpu-host.sh [options] [stage ...]

Runs the stages that fit into the time, in order of value, or only those named. Needs Node and a built nibble (npm ci &&
npm run build); what is compared with PyTorch needs a Python with torch, and bench/peers/requirements.txt for training.
Nothing is downloaded: the models are published shapes with random weights. Whatever could not be measured says so.

Stages:
  doctor        adapter, driver, features, limits
  conformance   the tests of kernels and of the GPU layer, on this device; then those of kernels unchecked, as runs are
  tune          nibble tune-kernels at the shapes of the three models, the best of what 3.5 minutes have room for; later
                stages take its tiles from the folder
  gemm          matrix products by tier, and by torch (cuBLAS)
  attention     forward and backward by tier, and torch's scaled_dot_product_attention
  dequant       NF4 decode against a copy of buffers
  profile       GPU time of a QLoRA step of Llama-2-7B, by kernel
  smollm2-135m  LoRA and QLoRA: step time, tokens/s and peak memory; then the same runs in PEFT
  tinyllama-1.1b
  llama-2-7b
  llama-65b     QLoRA alone, for its peak memory
  summary       the table over everything in the folder, and reports where the chart library is (always run at the end)

Options:
  --minutes N     stop starting stages when N minutes are over (default 25); a running one is ended then
  --output DIR    folder of the results (default results/gpu-host); what other calls left there stays, and is joined
  --python CMD    the Python of the peers (default python3)
  --archive FILE  at the end, the results as one .tar.gz, without models and adapters
  --rehearse      tiny sizes and cut layers, to try the script on a software driver; its figures mean nothing
  -h, --help

A machine without network or Node: `node bench/gpu-host/pack.mjs FILE.tar.gz` on one that has them packs all of it, Node
too; there, unpack it and put its folder bin/ in front of PATH. Missing Python packages: unpack wheels, name them in PYTHONPATH.

Half an hour in calls of at most ten minutes, on one card, into one folder:
  bash bench/gpu-host/gpu-host.sh --minutes 9 doctor conformance tune gemm attention dequant
  bash bench/gpu-host/gpu-host.sh --minutes 9 profile smollm2-135m tinyllama-1.1b
  bash bench/gpu-host/gpu-host.sh --minutes 9 llama-2-7b llama-65b
Where each call gets a fresh machine, carry the folder along (the tiles are in its cache/), or unpack the archives of all
calls into one folder afterwards and run the stage summary there. Results of two cards or drivers are refused.

Examples:
  bash bench/gpu-host/gpu-host.sh --minutes 25
  bash bench/gpu-host/gpu-host.sh --output results/h200 --archive h200.tar.gz gemm dequant
  NIBBLE_DEVICE=lavapipe bash bench/gpu-host/gpu-host.sh --rehearse --minutes 15 --output /tmp/rehearsal
HELP
}

minutes=25 output=results/gpu-host python=python3 rehearse="" archive=""
all=(doctor conformance tune gemm attention dequant profile smollm2-135m tinyllama-1.1b llama-2-7b llama-65b)
stages=()
fail() { echo "gpu-host: $*" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case "$1" in
    --minutes) minutes=${2:?--minutes needs a number}; shift 2 ;;
    --output) output=${2:?--output needs a folder}; shift 2 ;;
    --python) python=${2:?--python needs a command}; shift 2 ;;
    --archive) archive=${2:?--archive needs a file}; shift 2 ;;
    --rehearse) rehearse=1; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) fail "unknown option $1; --help lists them" ;;
    *)
      case " ${all[*]} summary " in *" $1 "*) stages+=("$1") ;; *) fail "unknown stage $1; --help lists them" ;; esac
      shift ;;
  esac
done
[[ $minutes =~ ^[0-9]+$ ]] || fail "--minutes is '$minutes', wanted a whole number"
command -v node > /dev/null || fail "there is no node on the PATH: bin/ of a packed copy holds one"
[ -f dist/cli/main.js ] || fail "dist/ is missing: run npm run build first, here or where this copy was packed"
[ ${#stages[@]} -gt 0 ] || stages=("${all[@]}")
mkdir -p "$output/cache"
output=$(cd "$output" && pwd)
# tiles lie with the results, so that the next call finds them wherever it runs
export NO_COLOR=1 XDG_CACHE_HOME="$output/cache"
deadline=$((SECONDS + 60 * minutes))
stamp=$(date -u +%Y%m%dT%H%M%S)
log="$output/log-$stamp.txt"
nibble=(node dist/cli/main.js)
# ours and the peers' never run at once, so that the card's memory is the run's
smi="" device=""
stop_watching() { [ -z "$smi" ] || kill "$smi" 2> /dev/null || true; }
trap stop_watching EXIT

note() { echo "$(date -u +%H:%M:%S) $*" | tee -a "$log"; }

# measure FILE SECONDS COMMAND...: within that and the time that is left; the output goes to a file, the rest to the log.
# A failure is noted, not fatal: what was printed until then is kept as FILE.failed, of which the table takes whole lines of JSON.
measure() {
  local file=$1 most=$2 left=$((deadline - SECONDS)) code=0
  shift 2
  [ "$left" -le "$most" ] || left=$most
  if [ "$left" -lt 10 ]; then note "not measured: $file (no time left)"; return 1; fi
  local started=$SECONDS
  timeout --kill-after=10 "$left" "$@" > "$output/$file.partial" 2>> "$log" || code=$?
  if [ "$code" = 0 ]; then
    mv "$output/$file.partial" "$output/$file"
    rm -f "$output/$file.failed"
    note "$file: $((SECONDS - started)) s"
  else
    mv "$output/$file.partial" "$output/$file.failed"
    note "not measured to its end: $file (exit code $code after $((SECONDS - started)) s): $* - see $log"
    return 1
  fi
}

# Seconds and MiB in use on the card, twice a second, as long as the script runs.
watch_memory() {
  command -v nvidia-smi > /dev/null || return 0
  nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -i 0 -lms 500 2>> "$log" > >(
    while read -r used; do echo "$(date +%s.%N) $used"; done > "$output/gpu-memory-$stamp.txt"
  ) &
  smi=$!
}

stage_doctor() {
  measure doctor.json 120 "${nibble[@]}" doctor --json || return 0
  "${nibble[@]}" doctor 2>> "$log" | tee -a "$log" | head -20 || true
}

stage_conformance() {
  local tests=(test/kernels test/gpu) kernels=(test/kernels)
  [ -f node_modules/vitest/vitest.mjs ] || { note "not measured: conformance.json (no vitest in node_modules)"; return; }
  [ -z "$rehearse" ] || tests=(test/kernels/rope.test.ts test/kernels/float16.test.ts test/gpu/kernel.test.ts)
  [ -z "$rehearse" ] || kernels=("${tests[@]:0:2}")
  test_kernels conformance 0 "${tests[@]}"
  test_kernels conformance-unchecked 1 "${kernels[@]}"
}

# test_kernels NAME UNCHECKED FILE...: failed tests are a result too
test_kernels() {
  local name=$1 unchecked=$2
  shift 2
  rm -f "$output/$name.json"
  NIBBLE_TEST_DEVICE=${NIBBLE_DEVICE:-gpu} NIBBLE_TEST_UNCHECKED=$unchecked measure "$name.txt" 240 \
    node node_modules/vitest/vitest.mjs run "$@" --reporter=default --reporter=json "--outputFile.json=$output/$name.json" || true
  grep -hE '^ *(Test Files|Tests) |FAIL' "$output/$name".txt* | sort -u | head -30 || true
}

# config.json of the shapes, and with a count of layers a model that is cut to it, which the name says
shapes_of() { node bench/gpu-host/shapes.mjs "$output/models" "$@"; }

stage_tune() {
  local flags=(--tokens 4096) models
  [ -z "$rehearse" ] || flags=(--tokens 32 --quick --rounds 1)
  if [ -n "$rehearse" ]; then models=bench/models/tiny; else models=$(shapes_of SmolLM2-135M TinyLlama-1.1B Llama-2-7B); fi
  local list most=240 left=$((deadline - SECONDS))
  mapfile -t list <<< "$models"
  # it ends by itself and keeps the best so far, half a minute before it would be ended
  [ "$left" -gt "$most" ] || most=$left
  [ "$most" -lt 60 ] || flags+=(--minutes "$(awk "BEGIN { print ($most - 30) / 60 }")")
  measure tune.json 240 "${nibble[@]}" tune-kernels --json "${flags[@]}" "${list[@]}" ||
    measure tune.json 90 "${nibble[@]}" tune-kernels --json --quick "${flags[@]}" "${list[@]}" || true
}

stage_gemm() {
  local shapes=(4096x4096x4096 4096x11008x4096 4096x4096x11008 4096x16x4096 4096x32000x4096) folded=4096x4096x4096,4096x11008x4096
  [ -z "$rehearse" ] || shapes=(128x128x128 96x16x128) folded=96x64x128
  local joined
  joined=$(IFS=,; echo "${shapes[*]}")
  measure gemm.jsonl 180 node bench/performance/matmul.mjs --json --ops=nt,nn "--shapes=$joined" || true
  measure lora-fold.json 120 node bench/performance/lora-fold.mjs --json "--shapes=$folded" || true
  [ -n "$device" ] || { note "not measured: gemm-torch.jsonl (no torch in $python)"; return; }
  measure gemm-torch.jsonl 120 "$python" bench/peers/gemm.py --device "$device" "${shapes[@]}" || true
}

stage_attention() {
  # BxSxHxKxD here; torch is given BxSxHxD. A run on a GPU takes `direct` for no attention, and it would be seconds a round.
  local flags=(--shapes 4x1024x32x32x128,1x4096x32x32x128 --tiers simt,subgroup_matrix) shapes=(4x1024x32x128 1x4096x32x128)
  [ -z "$rehearse" ] || { flags=(--shapes 1x64x2x2x64 --rounds 1); shapes=(1x64x2x64); }
  measure attention.jsonl 120 node bench/performance/attention.mjs --json "${flags[@]}" || true
  [ -n "$device" ] || { note "not measured: attention-torch.jsonl (no torch in $python)"; return; }
  measure attention-torch.jsonl 60 "$python" bench/peers/attention.py --device "$device" "${shapes[@]}" || true
}

stage_dequant() {
  local shape=11008x4096
  [ -z "$rehearse" ] || shape=512x512
  measure dequant.json 60 node bench/performance/dequant.mjs --json "--shape=$shape" || true
  [ -n "$device" ] || { note "not measured: copy-torch.jsonl (no torch in $python)"; return; }
  measure copy-torch.jsonl 60 "$python" bench/peers/device_copy.py --device "$device" "$shape" || true
}

stage_profile() {
  local flags=(builtin:random-llama-2-7b)
  [ -z "$rehearse" ] || flags=(builtin:tiny --max_length 32 --per_device_train_batch_size 1 --compute_dtype float32)
  measure profile.json 180 node bench/gpu-host/profile.mjs "$output/models/profile" "${flags[@]}" || true
}

# Settings of a rehearsal, in which models keep a layer or two: the name of the model says so.
rehearsal_of() {
  local cut
  echo "--max_length 32 --max_steps 2 --per_device_train_batch_size 1 --compute_dtype float32"
  case "$1" in
    smollm2-135m) cut=SmolLM2-135M=2 ;;
    tinyllama-1.1b) cut=TinyLlama-1.1B=1 ;;
    llama-2-7b) cut=Llama-2-7B=1 ;;
    llama-65b) cut=LLaMA-65B=1 ;;
  esac
  echo "--model_name_or_path $(shapes_of "$cut")"
}

# One suite in nibble, then every run of it in PEFT; both leave run files that the report joins.
stage_suite() {
  local suite=$1 flags=()
  [ -z "$rehearse" ] || read -r -d '' -a flags < <(rehearsal_of "$suite") || true
  rm -rf "${output:?}/$suite"
  measure "$suite.txt" 480 "${nibble[@]}" bench run "bench/suites/speed-$suite.yaml" --no-report --output "$output/$suite" \
    "${flags[@]}" || true
  [ "$suite" != llama-65b ] || return 0
  [ -n "$device" ] || { note "not measured: PEFT on $suite (no torch in $python)"; return; }
  local precision=bfloat16 config name extra
  [ "$device" = cuda ] || precision=float32
  # by seed, QLoRA first: a pair of every kind before a second of one
  for config in $(find "$output/$suite" -path '*/runs/*/config.yaml' | sed -E 's/.*\/([a-z]+)-seed([0-9]+)\/.*/\2 \1 &/' |
    sort -k1,1n -k2,2r | cut -d' ' -f3); do
    name=$(basename "$(dirname "$config")")
    extra=()
    case "$device-$name" in cpu-qlora*) extra=(--dequantized) ;; esac
    measure "peft-$suite-$name.txt" 240 "$python" bench/peers/peft_run.py "$config" --out "$output/$suite/peers" \
      --suite "peft-$suite" --device "$device" --precision "$precision" "${extra[@]}" || true
  done
}

stage_summary() {
  node bench/gpu-host/table.mjs "$output" | tee "$output/summary.txt"
  [ -d node_modules/vega ] || return 0
  local suite folders
  for suite in smollm2-135m tinyllama-1.1b llama-2-7b llama-65b; do
    mapfile -t folders < <(find "$output/$suite" -name '*.run.json' -printf '%h\n' 2> /dev/null | sort -u)
    [ ${#folders[@]} -gt 0 ] || continue
    rm -rf "${output:?}/reports/$suite"
    "${nibble[@]}" bench report "${folders[@]}" --output "$output/reports/$suite" 2>> "$log" || note "no report of $suite: see $log"
  done
}

pack_results() {
  tar -C "$output" -czf "$archive.partial" --exclude='./models' --exclude='./cache/[!n]*' --exclude='*.safetensors' \
    --exclude='random-tokens*' --exclude='./cache/nibble/swiftshader*' .
  mv "$archive.partial" "$archive"
  note "$archive: $(du -h "$archive" | cut -f1)"
}

# A Vulkan loader, NVIDIA's glvnd and the list of drivers are what slim images and containers lack.
prepare_vulkan() {
  command -v nvidia-smi > /dev/null || return 0
  if [ -d lib ] && ! ldconfig -p | grep -q 'libvulkan\.so\.1'; then
    export LD_LIBRARY_PATH="$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    note "no Vulkan loader on this machine: taking the one in lib/"
  fi
  [ -z "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] || return 0
  ! compgen -G '/etc/vulkan/icd.d/nvidia*' > /dev/null && ! compgen -G '/usr/share/vulkan/icd.d/nvidia*' > /dev/null || return 0
  local manifest
  manifest=$(find /usr /opt -maxdepth 6 -name 'nvidia_icd*.json' 2> /dev/null | head -1)
  if [ -z "$manifest" ]; then
    manifest="$output/cache/nvidia_icd.json"
    echo '{"file_format_version":"1.0.1","ICD":{"library_path":"libGLX_nvidia.so.0","api_version":"1.3.0"}}' > "$manifest"
  fi
  export VK_DRIVER_FILES="$manifest"
  note "no file in icd.d names the NVIDIA driver: VK_DRIVER_FILES=$manifest"
}

[ -n "${NIBBLE_DEVICE:-}" ] || prepare_vulkan
device=$("$python" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")' 2>> "$log") || device=""
[ "${stages[*]}" = summary ] ||
  node bench/gpu-host/host.mjs "$python" ${rehearse:+--rehearsed} > "$output/host-$stamp.json" 2>> "$log" ||
  fail "this host cannot be described: see $log"
watch_memory
for stage in "${stages[@]}"; do
  [ "$stage" != summary ] || continue
  if [ $((deadline - SECONDS)) -lt 30 ]; then note "not measured: $stage (of $minutes minutes nothing is left)"; continue; fi
  note "stage $stage"
  case "$stage" in
    doctor | conformance | tune | gemm | attention | dequant | profile) "stage_$stage" || true ;;
    *) stage_suite "$stage" || true ;;
  esac
done
stop_watching
stage_summary
[ -z "$archive" ] || pack_results
