#!/bin/sh
# Every test, on a bare machine with Rust: installs the real brokers and tools that they need (Debian, root or sudo).
# What cannot be installed makes its tests fail; nothing is skipped in silence.
set -eu
cd "$(dirname "$0")/.."

# Nothing may be left behind, however this ends: no broker, no listening port, no container, no scratch folder.
began=$(mktemp)
before=$(mktemp)
brokers_and_ports() {
  ps -eo pid=,comm= | grep -E ' (squall|mosquitto|java|beam\.smp|epmd|node|mochi|qemu-aarch64)' || true
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" { print "port (hex)", $2 }'
}
left() {
  brokers_and_ports | sort | comm -13 "$before" -
  for kind in test check probe report link links conform; do
    find "${TMPDIR:-/tmp}" -maxdepth 1 -type d -newer "$began" -name "squall-$kind-*"
  done
  ${SQUALL_CONTAINER:-docker} ps --all --format '{{.Names}}' 2>/dev/null | grep '^squall-' || true
}
left_behind() {
  code=$?
  trap - EXIT
  left=$(left)
  # What is just ending may take a moment.
  [ -z "$left" ] || { sleep 5 && left=$(left); }
  rm -f "$began" "$before"
  if [ -n "$left" ]; then
    printf 'something was left behind:\n%s\n' "$left"
    [ "$code" != 0 ] || code=1
  fi
  exit "$code"
}
brokers_and_ports | sort >"$before"
trap left_behind EXIT
cargo fmt --check
cargo clippy --all-targets --all-features -- -D warnings
cargo build --all-features

SUDO=""
if [ "$(id -u)" != 0 ]; then SUDO=sudo; fi
# Here docker is there or not; podman is told what works on machines without systemd and with old control groups too.
if ! docker info >/dev/null 2>&1; then
  export SQUALL_CONTAINER="podman --runtime runc --storage-driver vfs --cgroup-manager=cgroupfs"
fi
./target/debug/squall targets install mosquitto aedes mochi hivemq vertx artemis moquette rabbitmq rabbitmq4
# Independent clients for the reference broker, a browser for the report, and Wireshark's decoder for captures.
if ! command -v mosquitto_pub >/dev/null || ! command -v chromium >/dev/null ||
  ! command -v tshark >/dev/null; then
  $SUDO env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mosquitto-clients chromium tshark ||
    { $SUDO apt-get update && $SUDO env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mosquitto-clients chromium tshark; }
fi
# Clients in other languages, for tests/clients.rs: in target/, of the newest versions that these pins allow.
mkdir -p target/clients
[ -x target/clients/python/bin/python ] || python3 -m venv target/clients/python
target/clients/python/bin/pip install --quiet 'paho-mqtt>=2.1,<3'
npm install --prefix target/clients --no-audit --no-fund --silent 'mqtt@^5'
# Debian starts its own broker on installation; the tests start theirs, and need no other.

cargo test --all-features

# Golden runs: the same bytes when optimised, with musl, and on another processor.
command -v musl-gcc >/dev/null || $SUDO apt-get install -y --no-install-recommends musl-tools
rustup target add x86_64-unknown-linux-musl
cargo test --release --test golden
cargo test --target x86_64-unknown-linux-musl --test golden
command -v qemu-aarch64 >/dev/null && command -v aarch64-linux-gnu-gcc >/dev/null ||
  $SUDO apt-get install -y --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
rustup target add aarch64-unknown-linux-gnu
(
  export SQUALL_EMULATOR="qemu-aarch64 -L /usr/aarch64-linux-gnu"
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$SQUALL_EMULATOR"
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
  cargo test --target aarch64-unknown-linux-gnu --test golden
)
