#!/usr/bin/env bash
# Unpacks a lavapipe that executes subgroup matrices (Mesa 26.1 or later) into a folder, beside whatever is installed, and
# writes FOLDER/run, which starts a command on it: the tensor-core kernels then run without a GPU. Needs no root and
# installs nothing. The packages are those of a newer Debian release, from the mirror that this machine's apt names.
set -euo pipefail

readonly WANTED_MAJOR=26 WANTED_MINOR=1
# The release whose backports have that Mesa.
readonly RELEASE=${NIBBLE_LAVAPIPE_RELEASE:-trixie}
# Its C library runs the programs of the folder, so the libraries that Node itself needs come along.
# NIBBLE_LAVAPIPE_EXTRA: further ones, such as those of bench/static-gpu.
read -ra extra <<<"${NIBBLE_LAVAPIPE_EXTRA:-}"
readonly PACKAGES=(libc6 libstdc++6 libgcc-s1 libvulkan1 "${extra[@]}")
readonly USAGE="usage: scripts/install-lavapipe-subgroup-matrix.sh FOLDER   (then: FOLDER/run npx vitest run test/kernels/matmul.test.ts)"

fail() {
  echo "install-lavapipe-subgroup-matrix: $*" >&2
  exit 1
}

[ $# -eq 1 ] || fail "$USAGE"
command -v apt-get >/dev/null || fail "no apt-get here: this unpacks Debian packages. Install Mesa $WANTED_MAJOR.$WANTED_MINOR or later another way and run the tests on that."
mkdir -p "$1"
root=$(cd "$1" && pwd)
apt=$root/apt
mkdir -p "$apt"/{lists,cache,etc,parts}/partial
: >"$apt/status"
triplet=$(gcc -print-multiarch 2>/dev/null || echo "$(uname -m)-linux-gnu")

# URI, options and keyring of the machine's own entry for its release, in one line of the old form per suite.
machine_entry() {
  # shellcheck source=/dev/null
  . /etc/os-release
  local file
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] || continue
    awk -v codename="$VERSION_CODENAME" '
      BEGIN { RS = ""; FS = "\n" }
      {
        uri = ""; key = ""; ours = 0
        for (i = 1; i <= NF; i++) {
          if ($i ~ /^Suites:/ && (" " $i " ") ~ "[ \t]" codename "[ \t]") ours = 1
          if ($i ~ /^URIs:/) { split($i, part, /[ \t]+/); uri = part[2] }
          if ($i ~ /^Signed-By:/) { split($i, part, /[ \t]+/); key = part[2] }
        }
        if (ours && uri != "") { print (key == "" ? "" : "[signed-by=" key "] ") uri; exit }
      }' "$file"
  done | head -n 1
  { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
    sed -nE "s/^deb +((\[[^]]*\] +)?[^ ]+) +$VERSION_CODENAME +.*$/\1/p" | head -n 1
}

entry=$(machine_entry | head -n 1)
[ -n "$entry" ] || fail "no apt source of this machine names its own release: nothing to derive the mirror from."
printf 'deb %s %s main\ndeb %s %s-backports main\n' "$entry" "$RELEASE" "$entry" "$RELEASE" >"$apt/etc/sources.list"

# An apt of its own: the machine's lists, cache and status stay as they are, and nothing counts as installed.
own_apt() {
  apt-get -q -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::State::lists="$apt/lists" \
    -o Dir::Cache="$apt/cache" -o Dir::Etc::SourceList="$apt/etc/sources.list" -o Dir::Etc::SourceParts="$apt/parts" \
    -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" -o APT::Update::Error-Mode=any "$@"
}
own_apt update || fail "apt-get update failed for $RELEASE; its own words are above."
own_apt install -y --download-only --no-install-recommends "${PACKAGES[@]}" "mesa-vulkan-drivers/$RELEASE-backports" \
  -t "$RELEASE-backports" || fail "apt-get could not fetch the packages; its own words are above."

for package in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
version=$(dpkg-deb -f "$apt"/cache/archives/mesa-vulkan-drivers_*.deb Version)
[[ "${version#*:}" =~ ^([0-9]+)\.([0-9]+) ]] || fail "cannot read Mesa's version $version"
if ((BASH_REMATCH[1] * 100 + BASH_REMATCH[2] < WANTED_MAJOR * 100 + WANTED_MINOR)); then
  fail "$RELEASE-backports offers Mesa $version, subgroup matrices need $WANTED_MAJOR.$WANTED_MINOR: set NIBBLE_LAVAPIPE_RELEASE to a newer release."
fi

libraries=$root/usr/lib/$triplet
loader=$(find "$libraries" -maxdepth 1 -name 'ld-linux*.so.*' | head -n 1)
[ -x "$loader" ] || fail "no dynamic linker in $libraries"
manifest=$(find "$root/usr/share/vulkan/icd.d" -name 'lvp_icd*.json' | head -n 1)
[ -n "$manifest" ] || fail "the package has no lvp_icd json"
sed -E "s#\"library_path\": *\"[^\"]*\"#\"library_path\": \"$libraries/libvulkan_lvp.so\"#" "$manifest" >"$root/lvp_icd.json"
rm -rf "$apt"

# Node is started by the folder's own linker; execpath.cjs makes what Node starts in turn (a test's worker) go the same way.
mkdir -p "$root/bin"
echo "process.execPath = '$root/bin/node';" >"$root/execpath.cjs"
cat >"$root/bin/node" <<NODE
#!/bin/sh
export VK_DRIVER_FILES="$root/lvp_icd.json" VK_ICD_FILENAMES="$root/lvp_icd.json"
exec "$loader" --library-path "$libraries" "$(command -v node)" --require "$root/execpath.cjs" "\$@"
NODE
cat >"$root/run" <<RUN
#!/bin/sh
PATH="$root/bin:\$PATH" exec "\$@"
RUN
chmod +x "$root/bin/node" "$root/run"
echo "lavapipe: Mesa $version lies in $root; start a command on it with $root/run COMMAND"
