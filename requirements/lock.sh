#!/bin/sh
# sh requirements/lock.sh UV: compiles requirements/run.txt, dev.txt and screens.txt for Python 3.11 to 3.13 on Linux and macOS.
#
# dev.txt holds everything of run.txt, in the same versions; screens.txt is what the browser's tests need on top of it. The lists name no index: where packages come from is the
# business of each machine's pip.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. requirements/python.sh

"$(interpreter)" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet "$1"

compile() { # compile LIST [more of uv's arguments]
    list=$1
    shift
    echo "requirements/$list.txt"
    "$folder/venv/bin/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
        --no-emit-index-url --no-emit-find-links "$@" --output-file "requirements/$list.txt"
}

project="--extra local --extra postgres --extra redis pyproject.toml requirements/build.in"
compile run $project
compile dev --constraints requirements/run.txt requirements/dev.in $project
compile screens --constraints requirements/dev.txt requirements/screens.in
