#!/bin/sh
# Every test, on a bare machine with Rust: installs the real brokers and tools that they need (Debian, root or sudo).
# What cannot be installed makes its tests fail; nothing is skipped in silence.
set -eu
cd "$(dirname "$0")/.."

# Scratch folders are older than this, or ours.
began=$(mktemp)
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

# Golden runs: the same bytes when optimised, and with musl.
command -v musl-gcc >/dev/null || $SUDO apt-get install -y --no-install-recommends musl-tools
rustup target add x86_64-unknown-linux-musl
cargo test --release --test golden
cargo test --target x86_64-unknown-linux-musl --test golden

# Nothing is left behind: no process under a minder of ours, no broker, no container, no scratch folder.
left=$(
  pgrep -af 'squall mind|squall.*broker --listen' || true
  for kind in test check probe report link links conform; do
    find "${TMPDIR:-/tmp}" -maxdepth 1 -type d -newer "$began" -name "squall-$kind-*"
  done
  ${SQUALL_CONTAINER:-docker} ps --all --format '{{.Names}}' | grep '^squall-' || true
)
rm -f "$began"
if [ -n "$left" ]; then
  echo "something was left behind:"
  echo "$left"
  exit 1
fi
