#!/usr/bin/env bash
# Installs lavapipe, Mesa's software Vulkan driver, new enough for WebGPU: 3 to 5 times faster than SwiftShader, and with f16.
# Debian 12's own Mesa (22.3) is refused by Dawn, so it comes from that release's backports, by way of the mirror that
# this machine's apt sources name already. Debian and Ubuntu; run as root (or it asks sudo).
set -euo pipefail

readonly WANTED_MAJOR=25
readonly PACKAGES=(mesa-vulkan-drivers libvulkan1)
readonly ICD=/usr/share/vulkan/icd.d
readonly BACKPORTS_FILE=/etc/apt/sources.list.d/nibble-backports.sources

fail() {
  echo "install-lavapipe: $*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Major version of an apt version string; 0 for none.
major() {
  local version=${1#*:}
  version=${version%%.*}
  case $version in '' | *[!0-9]*) echo 0 ;; *) echo "$version" ;; esac
}

installed_major() {
  local found
  found=$(dpkg-query -W -f '${db:Status-Status} ${Version}\n' mesa-vulkan-drivers 2>/dev/null | sed -n 's/^installed //p')
  major "$found"
}

candidate_major() {
  major "$(apt-cache policy mesa-vulkan-drivers | sed -n 's/^ *Candidate: //p')"
}

# The best version that any known source offers, whatever apt would choose by itself.
offered_major() {
  local best=0 version
  while read -r version; do
    version=$(major "$version")
    if [ "$version" -gt "$best" ]; then best=$version; fi
  done < <(apt-cache madison mesa-vulkan-drivers | cut -d'|' -f2 | tr -d ' ')
  echo "$best"
}

update() {
  # apt-get update says "Some index files failed" and still exits 0, hence the option.
  as_root apt-get update -q -o APT::Update::Error-Mode=any ||
    fail "apt-get update failed: its own words are above. If this machine does not reach its Debian mirror, give it a network, then run this again."
}

# The machine's own entry for the release, with the suite replaced.
backports_entry() {
  local codename=$1 file
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] || continue
    # paragraph mode: a stanza at a time; only one whose Suites name the release itself
    awk -v codename="$codename" '
      BEGIN { RS = ""; FS = "\n" }
      {
        ours = 0
        for (i = 1; i <= NF; i++) if ($i ~ /^Suites:/ && (" " $i " ") ~ "[ \t]" codename "[ \t]") ours = 1
        if (!ours) next
        for (i = 1; i <= NF; i++) {
          if ($i ~ /^#/) continue
          if ($i ~ /^Suites:/) print "Suites: " codename "-backports"; else print $i
        }
        exit
      }' "$file"
  done | awk 'NF == 0 { exit } { print }'
}

# The same for one-line sources: deb [options] URI codename components.
backports_line() {
  local codename=$1
  # neither need exist
  { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
    sed -nE "s/^(deb( +\[[^]]*\])? +[^ ]+ +)$codename +(.*)$/\1$codename-backports \3/p" | head -n 1
}

add_backports() {
  local codename=$1 entry
  entry=$(backports_entry "$codename")
  if [ -n "$entry" ]; then
    printf '%s\n' "$entry" | as_root tee "$BACKPORTS_FILE" >/dev/null
    return
  fi
  entry=$(backports_line "$codename")
  [ -n "$entry" ] || fail "no apt source of this machine names $codename: add one, or install Mesa $WANTED_MAJOR or later by hand."
  printf '%s\n' "$entry" | as_root tee "${BACKPORTS_FILE%.sources}.list" >/dev/null
}

command -v apt-get >/dev/null || fail "no apt-get here: install Mesa $WANTED_MAJOR or later with this system's own package manager."
# shellcheck source=/dev/null
. /etc/os-release
if [ "$(installed_major)" -lt "$WANTED_MAJOR" ]; then
  update
  target=()
  if [ "$(candidate_major)" -lt "$WANTED_MAJOR" ]; then
    [ "${ID:-}" = debian ] || fail "this release offers Mesa $(candidate_major), and WebGPU needs $WANTED_MAJOR or later: use a newer release of ${PRETTY_NAME:-it}."
    if [ "$(offered_major)" -lt "$WANTED_MAJOR" ]; then
      add_backports "$VERSION_CODENAME"
      update
    fi
    target=(-t "$VERSION_CODENAME-backports")
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${target[@]}" "${PACKAGES[@]}" ||
    fail "apt-get could not install ${PACKAGES[*]}; its own words are above."
fi
ls "$ICD"/lvp_icd*.json >/dev/null 2>&1 || fail "Mesa $(installed_major) is installed, but $ICD has no lvp_icd json: run apt-get install --reinstall mesa-vulkan-drivers."
echo "lavapipe: Mesa $(dpkg-query -W -f '${Version}' mesa-vulkan-drivers) is installed"
