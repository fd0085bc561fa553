# shellcheck shell=bash
# For tools/check: stages that build and test.

# python_packages VENV FOLDER: what the folder's requirements.txt lists.
python_packages() {
    cmp -s "$2/requirements.txt" "$1/requirements.txt" && return
    rm -rf "$1" && python3 -m venv "$1" && "$1/bin/pip" install -q -r "$2/requirements.txt" &&
        cp "$2/requirements.txt" "$1/requirements.txt"
}

# Of pytorch-fid nothing but itself: it asks for what Debian has of torch.
pytorch_fid() {
    [ -d .venv-fid/pytorch_fid ] ||
        .venv-golden/bin/pip install -q --no-deps --target .venv-fid pytorch-fid==0.3.0
}

cuda_compiler() {
    # shellcheck disable=SC2154 # set by tools/check
    if [ "$cuda" = disabled ]; then
        echo "the CUDA engine is not built: --no-cuda"
        return 77
    fi
    tools/cuda
}

# The module alone, for every generation of GPUs: developers compile for two.
all_gpus() {
    if [ ! -f build-gpus/build.ninja ]; then
        meson setup build-gpus -Dtests=false -Dcuda=enabled \
            -Dgpu_targets=75,80,86,89,90,100,120 || return
    fi
    meson compile -C build-gpus softdiff-cuda
}

# build FOLDER OPTION...: a folder that is there keeps its options, but gets the tests, which
# tools/run leaves out, and the CUDA engine or not.
build() {
    local folder=$1
    shift
    if [ -f "$folder/build.ninja" ]; then
        meson configure "$folder" -Dtests=true "-Dcuda=$cuda" -Dmpi=enabled || return
    else
        meson setup "$folder" -Dtests=true "-Dcuda=$cuda" -Dmpi=enabled "$@" || return
    fi
    meson compile -C "$folder"
}

# cuDNN opens its parts from where it lies itself, which the sanitizers' dlopen() does not know.
export LD_LIBRARY_PATH=$PWD/.cuda/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

# meson_tests FOLDER OPTION...
meson_tests() {
    local folder=$1 rc=0 patience=2 file="$1/meson-logs/check${slow:+-slow}.junit.xml"
    shift
    [ "$folder" = build ] || patience=8 # the sanitizers' code is slower
    rm -f "$file"
    meson test -C "$folder" --no-rebuild --print-errorlogs --logbase check \
        --timeout-multiplier $patience ${slow:+--setup slow} "$@" || rc=$?
    # shellcheck disable=SC2154 # set by stage()
    cp "$file" "$results" || rc=1
    return $rc
}

# python_tests FOLDER [MARK]: those with the mark, or all; the slow ones with --slow only. Two at a
# time, since they wait more than they compute, but one where there are slow ones, which measure.
python_tests() {
    local marks=${2-} patience=1 workers=2
    [ "$1" = build ] || patience=8
    [ -z "$slow" ] || workers=0
    [ -n "$slow" ] || marks="not slow${marks:+ and $marks}"
    PATIENCE=$patience .venv/bin/python -m pytest tests --build-dir "$1" --junitxml "$results" \
        --timeout $((120 * patience)) -m "$marks" --numprocesses $workers --dist worksteal
}
