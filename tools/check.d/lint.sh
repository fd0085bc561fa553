# shellcheck shell=bash
# For tools/check: stages that read the sources. What reads one file at a time reads only those that
# changed since the branch left main, unless asked for everything.

# needs PROGRAM: or says that it is missing, for a stage to return 77.
needs() {
    command -v "$1" >/dev/null || {
        echo "there is no $1 here: tools/packages slow installs it"
        return 77
    }
}

# Other versions of clang-format disagree on a few lines.
format() {
    if ! clang-format --version | grep -q 'version 14\.'; then
        echo "this is no clang-format 14 but $(clang-format --version)"
        return 77
    fi
    find api config engine model server tests tools \( -name '*.[ch]' -o -name '*.[ch]pp' \
        -o -name '*.cu' -o -name '*.cuh' \) -exec clang-format --dry-run -Werror {} +
}

shell_scripts() {
    needs shellcheck || return
    grep -rlE '^(#!/bin/(ba)?sh|# shellcheck shell=)' .ci tools tests |
        xargs shellcheck --external-sources
}

# c_files changed|everything: the C files, sorted, a line each. One changes with the headers that it
# includes by name. Returns 77 and says why if there is nothing to compare with.
c_files() {
    local base headers
    if [ "$1" = everything ]; then
        find api config engine model server tests tools -name '*.c' | sort
        return
    fi
    base=$(git merge-base HEAD origin/main 2>/dev/null || git merge-base HEAD main 2>/dev/null) ||
        base=
    [ "$base" != "$(git rev-parse HEAD)" ] || base=
    base=${base:-$(git rev-parse --verify --quiet HEAD~1)} || {
        echo "there is no commit to tell by what has changed" >&2
        return 77
    }
    headers=$(changed_since "$base" '*.h' | sed 's/.*/#include "&"/')
    {
        changed_since "$base" '*.c'
        [ -z "$headers" ] || git grep -lFe "$headers" -- '*.c' || true
    } | sort -u
}

# changed_since COMMIT PATTERN: files that are there and are not as they were, tracked or not.
changed_since() {
    git diff --name-only --diff-filter=d "$1" -- "$2"
    git ls-files --others --exclude-standard -- "$2"
}

# each_of FILES COMMAND...: runs the command with some of the files at its end, as often as it
# takes, on all processors.
each_of() {
    local files=$1
    shift
    if [ -z "$files" ]; then
        echo "no C file has changed"
        return
    fi
    echo "files: $(wc -l <<<"$files")"
    xargs -P "$(nproc)" -n 8 "$@" <<<"$files"
}

# Reads what this machine builds: a file for another version of a library has no meaning here.
clang_tidy() {
    local files built
    needs clang-tidy || return
    files=$(c_files "$1") || return
    built=$(sed -n 's|^ *"file": "\.\./\(.*\.c\)".*|\1|p' build/compile_commands.json | sort -u)
    comm -23 <(echo "$files") <(echo "$built") | sed 's/^./not built here: &/'
    each_of "$(comm -12 <(echo "$files") <(echo "$built"))" clang-tidy -p build --quiet
}

# That macros of jansson are loops matters, not what they expand to.
cpp_check() {
    local files
    needs cppcheck || return
    files=$(c_files "$1") || return
    each_of "$files" cppcheck --quiet --enable=warning,performance,portability --std=c11 \
        --inline-suppr --error-exitcode=1 -I . \
        '-Djson_object_foreach(object,key,value)=while(next(object,&key,&value))' \
        '-Djson_array_foreach(array,index,value)=while(next(array,&index,&value))'
}
