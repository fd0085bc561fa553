# For tools/check: stages that build and test.

python_packages() {
    cmp -s tests/requirements.txt .venv/requirements.txt && return
    rm -rf .venv && python3 -m venv .venv &&
        .venv/bin/pip install -q -r tests/requirements.txt &&
        cp tests/requirements.txt .venv/requirements.txt
}

# build FOLDER OPTION...: a folder that is there keeps its options, but gets the tests, which
# tools/run leaves out.
build() {
    local folder=$1
    shift
    if [ -f "$folder/build.ninja" ]; then
        meson configure "$folder" -Dtests=true || return
    else
        meson setup "$folder" -Dtests=true "$@" || return
    fi
    meson compile -C "$folder"
}

# meson_tests FOLDER
meson_tests() {
    local rc=0 patience=2 file="$1/meson-logs/check${slow:+-slow}.junit.xml"
    [ "$1" = build ] || patience=8 # the sanitizers' code is slower
    rm -f "$file"
    meson test -C "$1" --no-rebuild --print-errorlogs --logbase check \
        --timeout-multiplier $patience ${slow:+--setup slow} || rc=$?
    cp "$file" "$results" || rc=1
    return $rc
}

# python_tests FOLDER
python_tests() {
    local marks=(-m 'not slow')
    [ -z "$slow" ] || marks=()
    .venv/bin/python -m pytest tests --build-dir "$1" --junitxml "$results" "${marks[@]}"
}

# as_root COMMAND...
as_root() {
    if [ "$(id -u)" != 0 ]; then
        echo "for root: $*"
        return 77
    fi
    "$@"
}
