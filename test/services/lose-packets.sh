#!/bin/sh
# lose-packets.sh PORT PERCENT COMMAND…: runs the command where loopback loses so many of the packets to and from a port
# of TCP. For a network namespace of its own: the caller's must not be touched.
set -e
# Where Debian keeps what only root calls.
PATH="$PATH:/usr/sbin:/sbin"
export PATH
port=$1
percent=$2
shift 2
# As on a real line: one packet is one segment, and a lost one is lost alone.
ip link set lo up mtu 1500 gso_max_segs 1
nft -f - <<EOF
table ip lossy {
  counter lost { }
  chain in {
    type filter hook input priority 0
    tcp dport $port numgen random mod 100 < $percent counter name lost drop
    tcp sport $port numgen random mod 100 < $percent counter name lost drop
  }
}
EOF
exec "$@"
