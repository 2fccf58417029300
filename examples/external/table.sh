#!/bin/sh
# Runs the nodes of this folder at 1, 3 and 5 nodes under several faults, and prints a table of what was said of them.
# Asks for `stormglass` on the path, or in STORMGLASS, and a built `primary` in PRIMARY; leaves out what cannot be run.
STORMGLASS=${STORMGLASS:-stormglass}
PRIMARY=${PRIMARY:-target/primary/release/primary}
HERE=$(dirname "$0")
SEEDS=${SEEDS:-0..2}

# file, workload, nodes, faults, broken or nothing
row() {
    file=$1 workload=$2 nodes=$3 faults=$4
    shift 4
    out=$("$STORMGLASS" external --bin "$file" --workload "$workload" --nodes "$nodes" --nemeses "$faults" \
        --seeds "$SEEDS" --safety 15s --pace 2 -- "$@" 2>&1)
    code=$?
    case $code in
        0) said=held ;;
        1) said=$(echo "$out" | sed -n 's/^\([a-z-]*: [a-z-]*\).*/\1/p' | grep -v '^seed' | sort -u | paste -sd ';' - | sed 's/;/, /g') ;;
        3) said="proves nothing" ;;
        *) said="$code: $out" ;;
    esac
    echo "| $(basename "$file") ${*:-right} | $workload | $nodes | $faults | $said |"
}

echo "| node | workload | nodes | faults | what was said |"
echo "|---|---|---:|---|---|"
for nodes in 1 3 5; do
    # One node leads nobody.
    if [ "$nodes" = 1 ]; then faults=kill; else faults=kill,leader-with-minority; fi
    for how in "" broken; do
        # shellcheck disable=SC2086 # nothing is one argument less
        {
            [ -x "$PRIMARY" ] && row "$PRIMARY" lin-kv "$nodes" "$faults" $how
            row "$HERE/lin_kv.py" lin-kv "$nodes" "$faults" $how
            row "$HERE/log.py" kafka "$nodes" "$faults" $how
            for workload in unique-ids broadcast txn-list-append; do
                row "$HERE/many.py" "$workload" "$nodes" "$faults" $how
            done
            command -v node >/dev/null && row "$HERE/g_set.js" g-set "$nodes" "$faults" $how
        }
    done
done
