#!/bin/sh
# The files of other people that the dashboard uses, from the packages that package-lock.json pins. npm checks each
# package against the lock's checksum; git keeps none of what comes. Pages do without what is not there.
set -eu
cd "$(dirname "$0")"
to=../src/trivium/dashboard/static/vendor

npm ci --ignore-scripts --no-audit --no-fund "$@"
rm -rf "$to"
mkdir -p "$to"
cp node_modules/htmx.org/dist/htmx.min.js node_modules/uplot/dist/uPlot.iife.min.js node_modules/uplot/dist/uPlot.min.css "$to"
cp node_modules/htmx.org/LICENSE "$to/htmx.LICENSE.txt"
cp node_modules/uplot/LICENSE "$to/uPlot.LICENSE.txt"
