# shellcheck shell=bash
# For tools/check --slow: stages that nobody waits for.

# The least share of the lines of the product that tests run, in percent.
covered_least=85

# build_clang FOLDER OPTION...: without CUDA, whose kernels another compiler would compile.
build_clang() {
    needs clang || return
    CC=clang cuda=disabled build "$@"
}

# fuzzers FOLDER: what they found interesting stays there and is where they start the next time.
fuzzers() {
    meson_tests "$1" --suite fuzz
}

# coverage FOLDER: by what is not slow. What a counter in every line costs is no test's business.
coverage() {
    needs gcovr || return
    find "$1" -name '*.gcda' -delete
    slow='' meson_tests "$1" --no-suite times || return
    slow='' python_tests "$1" || return
    # shellcheck disable=SC2154 # set by stage(); the figure is the result
    rm -f "$results"
    gcovr --root . --object-directory "$1" --exclude tests --exclude "$1" --sort-uncovered \
        --print-summary --fail-under-line "$covered_least" .
}

# as_root COMMAND...
as_root() {
    if [ "$(id -u)" != 0 ]; then
        echo "for root: $*"
        return 77
    fi
    "$@"
}
