# shellcheck shell=bash
# For tools/check: runs stages, counts what they say, and reports. Whoever includes it sets $logs,
# a folder, and $listing, which is empty or makes stages tell what they are instead of running.

passed=0
failed=0
skipped=0
n_stages=0

# stage NAME LEAST COMMAND...: runs the command, its output into a log. A stage that wrote test
# results into its $results counts them, and so does one that ends with a count as tools/check
# does; it fails if fewer than LEAST passed. Any other counts as one. A command that cannot be run
# here returns 77, the last line of its output says why: it counts as skipped. Within a command
# set -e does nothing.
stage() {
    local name=$1 least=$2 start=$SECONDS rc=0 counts n_passed n_failed n_skipped
    shift 2
    if [ -n "$listing" ]; then
        echo "$least $name"
        return
    fi
    n_stages=$((n_stages + 1))
    printf "%-34s" "$name"
    # shellcheck disable=SC2154 # set by whoever includes this
    log=$logs/${name// /-}.log
    results=$logs/${name// /-}.xml
    rm -f "$results"
    "$@" >"$log" 2>&1 </dev/null || rc=$?
    if [ -f "$results" ]; then
        counts=$(python3 tools/check.d/results.py count "$results")
    elif tail -n 1 "$log" | grep -qxE '[0-9]+ passed, [0-9]+ failed'; then
        counts="$(tail -n 1 "$log" | tr -dc '0-9 ') 0"
    elif [ $rc = 77 ]; then
        rc=0
        counts="0 0 1"$'\n'"    skipped: $(tail -n 1 "$log")"
        least=0
    else
        counts="$((rc == 0)) $((rc != 0)) 0"
    fi
    read -r n_passed n_failed n_skipped <<<"$counts"
    # A runner that fails without a failed test, as after a crash.
    if [ $rc != 0 ] && [ "$n_failed" = 0 ]; then
        n_failed=1
    fi
    if [ "$n_failed" = 0 ] && [ "$n_passed" -lt "$least" ]; then
        n_failed=1
        echo "only $n_passed tests passed, where at least $least were expected" >>"$log"
    fi
    passed=$((passed + n_passed))
    failed=$((failed + n_failed))
    skipped=$((skipped + n_skipped))
    echo "$((SECONDS - start)) stage $name" >>"$logs/times"
    echo "$n_passed passed, $n_failed failed, $n_skipped skipped ($((SECONDS - start)) s)"
    tail -n +2 <<<"$counts"
    if [ "$n_failed" != 0 ]; then
        echo "--- the end of $log:"
        tail -n 40 "$log"
        echo "---"
        return 1
    fi
}

# finish N_PLANNED: reports and ends; the last line counts.
finish() {
    echo "the slowest:"
    python3 tools/check.d/results.py slowest 10 "$logs"
    if [ $n_stages != "$1" ]; then
        echo "$n_stages of $1 stages were run"
        [ $failed != 0 ] || failed=1
    fi
    echo "$n_stages stages in $SECONDS s, $skipped tests skipped"
    echo "$passed passed, $failed failed"
    [ $failed = 0 ]
    exit
}
