#!/bin/sh
# Runs postern in the benchmark's slot: writes a configuration for the map and the
# addresses it is given, and becomes the gateway.
#   postern.sh POSTERN PLAIN_ADDR MAP DIR
set -eu
postern=$1 plain=$2 map=$3 dir=$4
cat >"$dir/postern.yaml" <<EOF
listeners:
  - {name: pop, address: "$plain"}
auth: {plaintext: always}
limits: {sessions: 9900, sessions_per_address: 0}
directory:
  sources: [{type: file, path: "$map"}]
backends:
  allowed_networks: [127.0.0.0/8]
log: {level: ${POSTERN_LOG:-warn}}
EOF
exec "$postern" serve --config "$dir/postern.yaml"
