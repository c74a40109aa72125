#!/bin/sh
# sh bench/peers/lock.sh UV: the newest versions of the gateways that `make bench` compares Trivium with, with hashes.
#
# Each has a list of its own, as each is installed into an environment of its own. Like requirements/*.txt these name no index,
# and package-lock.json no place to fetch from.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. requirements/python.sh

"$(interpreter)" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet "$1"
for peer in litellm tensorzero smg; do
    echo "bench/peers/$peer.txt"
    "$folder/venv/bin/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
        --no-emit-index-url --no-emit-find-links "bench/peers/$peer.in" --output-file "bench/peers/$peer.txt"
done
echo "bench/peers/portkey/package-lock.json"
cd bench/peers/portkey
rm -f package-lock.json
npm install --silent --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved --no-audit --no-fund
