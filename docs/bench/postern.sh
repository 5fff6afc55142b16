#!/bin/sh
# Runs postern in the benchmark's slot: writes a configuration for the map and the
# addresses it is given, and becomes the gateway.
#   postern.sh POSTERN PLAIN_ADDR TLS_ADDR CERT KEY MAP DIR
# POSTERN_LOG is the level of its log; warn is nearest to the peers, who log nothing
# of a session.
set -eu
postern=$1 plain=$2 tls=$3 cert=$4 key=$5 map=$6 dir=$7
install -m 600 "$key" "$dir/key.pem" # it refuses a key that everybody may read
{
	cat <<EOF
listeners:
  - {name: pop, address: "$plain"}
  - {name: pops, address: "$tls", tls: implicit}
tls:
  certificates: [{cert: "$cert", key: "$dir/key.pem"}]
auth: {plaintext: always}
limits: {sessions: 9900, sessions_per_address: 0, sessions_per_mailbox: 0}
directory:
  sources: [{type: file, path: "$map"}]
admin: {socket: ""}
log: {level: ${POSTERN_LOG:-warn}}
backends:
  static:
EOF
	awk '{print $2}' "$map" | sort -u | awk '{print "    - {name: guest-" NR ", address: \"" $1 "\"}"}'
} >"$dir/postern.yaml"
exec "$postern" serve --config "$dir/postern.yaml"
