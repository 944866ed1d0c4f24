#!/bin/sh
# Makes a tar of a Debian 13 root with RabbitMQ, as root: root.sh FILE. The mirror is this machine's own.
set -eu
file=$1
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
  grep -v '^ *#' | grep -v security | grep -o 'https\?://[^ ]*/debian/\?' | head -n 1)
[ -n "$mirror" ] || { echo "no Debian mirror in this machine's apt configuration" >&2; exit 1; }
root=$(mktemp -d)
trap 'umount "$root/proc" 2>/dev/null || true; rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates trixie "$root" "$mirror"
printf '127.0.0.1 localhost\n' > "$root/etc/hosts"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
# How this machine's apt reaches the mirror (a proxy, say) holds for the root too.
cp /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
mount -t proc proc "$root/proc"
DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y --no-install-recommends rabbitmq-server
version=$(chroot "$root" dpkg-query -W -f '${Version}' rabbitmq-server)
case $version in
  4.0.5-*) ;;
  *) echo "Debian has RabbitMQ $version, and broker.toml says 4.0.5" >&2; exit 1 ;;
esac
chroot "$root" apt-get clean
umount "$root/proc"
tar -C "$root" -cf "$file" .
chmod 644 "$file"
