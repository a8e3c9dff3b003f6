#!/bin/sh
# Pins every dependency with its hashes, for every platform and Python version that the project supports.
set -eu
cd "$(dirname "$0")/.."
pin() {
    out=$1
    shift
    uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
        --python-version 3.11 --output-file "requirements/$out" "$@"
}
# What the daemon needs; what `demo` and `simulate` need too; what builds the package; what tests it; what makes the
# site of the documentation; what a release needs.
pin run.txt pyproject.toml --extra postgresql "$@"
pin demo.txt pyproject.toml --extra postgresql --extra simulator "$@"
pin build.txt --group build "$@"
pin dev.txt pyproject.toml --extra postgresql --extra simulator --group dev "$@"
pin docs.txt --constraint requirements/dev.txt --group docs "$@"
pin release.txt --constraint requirements/dev.txt --group release --group build "$@"
