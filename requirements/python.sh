# Sourced: finds an interpreter. PYTHON, if set, is the only candidate.

fits() { # Python 3.11 to 3.13 that can make virtual environments (Debian keeps that apart)
    "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1
}

interpreter() {
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "No Python 3.11, 3.12 or 3.13 with venv found; name one: make setup PYTHON=/path/to/python3.11" >&2
    return 1
}
