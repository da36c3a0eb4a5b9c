#!/usr/bin/env bash
# Installs by name the Debian packages that the lab needs and that are missing. Does nothing where all are there. Needs root.
# The distribution's own services are not started: the lab runs its own instances on its own data, in its own network namespaces.
set -euo pipefail

# package:program that it brings
wanted=(
  nginx-light:nginx mariadb-server:mariadbd redis-server:redis-server memcached:memcached postgresql:pg_lsclusters
  dnsmasq-base:dnsmasq bind9-dnsutils:dig haproxy:haproxy
  iproute2:ip ethtool:ethtool util-linux:setpriv procps:sysctl tshark:tshark slapd:slapd
  rabbitmq-server:rabbitmq-server mosquitto:mosquitto nats-server:nats-server
)
PATH=$PATH:/usr/sbin:/sbin
missing=()
for pair in "${wanted[@]}" "$@"; do
  command -v "${pair#*:}" >/dev/null || missing+=("${pair%%:*}")
done
ldconfig -p | grep 'libpcap\.so\.0\.8' >/dev/null || missing+=(libpcap0.8)
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "The lab needs these packages; install them as root: apt-get install ${missing[*]}" >&2
  exit 1
fi
# invoke-rc.d(8): policy-rc.d with status 101 forbids the packages to start their services.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod +x $policy
fi
echo "Installing (Debian): ${missing[*]}" >&2
apt-get update -q >/dev/null
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
