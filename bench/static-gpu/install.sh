#!/usr/bin/env bash
# install.sh FOLDER: the compilers of GPUs without a GPU. Unpacks Mesa 26.1 beside whatever is installed, with its null devices
# (mesa-drm-shim) and Vulkan's headers, all from the machine's own apt mirror, and compiles two small libraries against it.
# FOLDER/on CHIP PROGRAM then starts a program whose Vulkan device is that chip, and FOLDER/gpu CHIP COMMAND a command with Node in
# it, such as `FOLDER/gpu nv:180 node dist/cli/main.js doctor`. Pipelines are compiled by the real compiler; nothing is executed.
set -euo pipefail

fail() {
  echo "static-gpu: $*" >&2
  exit 2
}

[ $# -eq 1 ] || fail "usage: bench/static-gpu/install.sh FOLDER"
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || fail "the null devices are packaged for Linux on x86_64, and this is $(uname -s) on $(uname -m)."
command -v apt-get >/dev/null || fail "no apt-get here, and the null devices come from Debian's packages: run it on Debian or Ubuntu, or in a container of one."
command -v gcc >/dev/null || fail "no gcc here, which compiles the statistics layer: apt-get install gcc libc6-dev"
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
root=$(cd "$1" && pwd)

NIBBLE_LAVAPIPE_EXTRA="mesa-drm-shim libvulkan-dev" "$here/../../scripts/install-lavapipe-subgroup-matrix.sh" "$root" >"$root/install.log" 2>&1 ||
  fail "Mesa's packages could not be unpacked; the last words of $root/install.log: $(tail -n 2 "$root/install.log" | tr '\n' ' ')"

libraries=$root/usr/lib/$(gcc -print-multiarch)
for driver in radeon nouveau asahi freedreno; do
  manifest=$root/usr/share/vulkan/icd.d/${driver}_icd.json
  [ -e "$manifest" ] || fail "the Mesa packages have no $driver driver ($manifest): is NIBBLE_LAVAPIPE_RELEASE set to an older release?"
  sed -E "s#\"library_path\": *\"[^\"]*\"#\"library_path\": \"$libraries/libvulkan_$driver.so\"#" "$manifest" >"$root/${driver}_icd.json"
done

mkdir -p "$root/layer" "$root/nullbin"
gcc -O1 -shared -fPIC -fvisibility=hidden -I"$root/usr/include" -o "$root/layer/libstatistics-layer.so" "$here/driver/statistics-layer.c" ||
  fail "gcc could not compile the statistics layer; its own words are above (are the C library's headers there? apt-get install libc6-dev)"
cp "$here/driver/statistics-layer.json" "$root/layer/"
gcc -O1 -shared -fPIC -o "$root/nouveau-classes.so" "$here/driver/nouveau-classes.c" -ldl || fail "gcc could not compile nouveau-classes.c; its own words are above."

# NVK_I_WANT...: NVK's own switch for chips that it does not support yet, Hopper among them.
cat >"$root/on" <<ON
#!/bin/bash
chip=\$1
shift
export NVK_I_WANT_A_BROKEN_VULKAN_DRIVER=1 MESA_SHADER_CACHE_DISABLE=true AGX_MESA_DEBUG=\${STATISTICS_FOLDER:+shaders}
export VK_LOADER_LAYERS_DISABLE='~implicit~' VK_ADD_LAYER_PATH=$root/layer VK_INSTANCE_LAYERS=VK_LAYER_NIBBLE_statistics
driver() { export VK_DRIVER_FILES=$root/\$1_icd.json VK_ICD_FILENAMES=$root/\$1_icd.json; }
case \$chip in
  nv:*) driver nouveau; export NOUVEAU_CHIPSET=\${chip#nv:}; preload="$root/nouveau-classes.so $libraries/libnouveau_noop_drm_shim.so" ;;
  amd:*) driver radeon; export AMDGPU_GPU_ID=\${chip#amd:}; preload=$libraries/libamdgpu_noop_drm_shim.so ;;
  asahi:*) driver asahi; preload=$libraries/libasahi_noop_drm_shim.so ;;
  adreno:*) driver freedreno; export FD_GPU_ID=\${chip#adreno:}; preload=$libraries/libfreedreno_noop_drm_shim.so ;;
  *) echo "static-gpu: no null device for \$chip: nv:, amd:, asahi: and adreno: are known" >&2; exit 2 ;;
esac
exec $libraries/ld-linux-x86-64.so.2 --library-path $libraries --preload "\$preload" "\$@"
ON
echo "process.execPath = '$root/nullbin/node';" >"$root/null-execpath.cjs"
printf '#!/bin/sh\nexec %s "${NULL_GPU:?}" "%s" --require %s "$@"\n' "$root/on" "$(command -v node)" "$root/null-execpath.cjs" >"$root/nullbin/node"
printf '#!/bin/sh\nexport NULL_GPU=$1; shift\nPATH="%s:$PATH" exec "$@"\n' "$root/nullbin" >"$root/gpu"
chmod +x "$root/on" "$root/nullbin/node" "$root/gpu"
