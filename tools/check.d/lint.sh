# For tools/check: stages that read the sources.

# Other versions of clang-format disagree on a few lines.
format() {
    if ! clang-format --version | grep -q 'version 14\.'; then
        echo "this is no clang-format 14 but $(clang-format --version)"
        return 77
    fi
    find api config engine model server tests tools \( -name '*.[ch]' -o -name '*.[ch]pp' \
        -o -name '*.cu' -o -name '*.cuh' \) -exec clang-format --dry-run -Werror {} +
}
