# shellcheck shell=bash
# Sourced by every part: rows, installation, where things are.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

part="$(basename "$0" | sed 's/^[0-9]*-//')"
lib=.ci/deep.d/lib
deep_dir="$PWD/target/deep"
logs="$deep_dir/logs"
mkdir -p "$logs"
# those that bring tests of the facade
features=process,fd,socket,extra,fs
export CARGO_TERM_COLOR=never RUST_BACKTRACE=1 PYTHONDONTWRITEBYTECODE=1

check_process=
cleanups=()
# A process of ours and all it started.
end_tree() {
    local child
    for child in $(cat "/proc/$1"/task/*/children 2>/dev/null); do end_tree "$child"; done
    kill "$1" 2>/dev/null || true
}
finish() {
    # To its end: `.ci/deep` passes on a signal that the whole group may have got.
    trap '' INT TERM
    [ -z "$check_process" ] || end_tree "$check_process"
    local command
    for command in "${cleanups[@]+"${cleanups[@]}"}"; do eval "$command" || true; done
}
trap finish EXIT
trap 'exit 130' INT TERM

row() { # row NAME TEXT
    echo "$part $1: $2" | tee -a "${DEEP_ROWS:-/dev/null}"
}
skip() { # skip NAME WHY
    row "$1" "skipped: $2"
}
# Runs a command with its output in a log; prints the row, and on failure the log's end.
# Exit code 77 means that the check cannot run here; its last line says why.
check() { # check NAME COMMAND...
    local name=$1 began=$SECONDS status=0
    shift
    local log="$logs/$part-${name// /-}.log"
    ( set -e; "$@" ) >"$log" 2>&1 </dev/null &
    check_process=$!
    wait "$check_process" || status=$?
    check_process=
    if [ "$status" -eq 0 ]; then
        row "$name" "ran, ok ($((SECONDS - began)) s)$(detail "$log")"
    elif [ "$status" -eq 77 ]; then
        skip "$name" "$(tail -n 1 "$log")"
    else
        row "$name" "ran, FAILED ($((SECONDS - began)) s), see ${log#"$PWD"/}"
        tail -n 30 "$log" | sed 's/^/    | /'
    fi
}
# A check's own words for its row: the last log line that starts with "measured: ".
detail() {
    sed -n 's/^measured: /: /p' "$1" | tail -n 1
}

# Installs Debian packages unless they are there; false if that is not possible.
need() { # need PACKAGE...
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 1
    # RUNLEVEL=1: a service that a package brings is not started
    local install=(env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive
        apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends)
    "${install[@]}" "${missing[@]}" >>"$logs/install.log" 2>&1 ||
        { apt-get update && "${install[@]}" "${missing[@]}"; } >>"$logs/install.log" 2>&1
}

# A command, else the package that brings it (of the same name unless told).
have() { # have COMMAND [PACKAGE]
    command -v "$1" >/dev/null || need "${2:-$1}"
}

# Builds into a folder that no other part needs; the part's end removes it, unless DEEP_KEEP is set.
own_target() { # own_target NAME
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/$1"
    [ -n "${DEEP_KEEP:-}" ] || cleanups+=("rm -rf '$CARGO_TARGET_DIR'")
}

host_target() { rustc -vV | sed -n 's/^host: //p'; }
# The runner variable cargo reads for this machine's target.
runner_variable() { echo "CARGO_TARGET_$(host_target | tr 'a-z-' 'A-Z_')_RUNNER"; }

# `--test NAME` for each name (a glob) that exists as tests/NAME.rs or tests/NAME/main.rs.
facade_tests() { # facade_tests GLOB...
    local glob file
    for glob in "$@"; do
        for file in tests/$glob.rs tests/$glob/main.rs; do
            [ -e "$file" ] || continue
            file=${file#tests/} file=${file%/main.rs}
            printf -- '--test\n%s\n' "${file%.rs}"
        done
    done
}

# A test run that executed nothing proves nothing: it counts as skipped.
cargo_test() { # cargo_test SECONDS ARGUMENT...
    local limit=$1 output
    shift
    output=$(mktemp)
    local status=0
    timeout --kill-after=10 "$limit" cargo test --no-fail-fast "$@" 2>&1 | tee "$output" || status=$?
    local count
    count=$(sed -n 's/^test result: .* \([0-9]*\) passed.*/\1/p' "$output" | awk '{ n += $1 } END { print n + 0 }')
    rm -f "$output"
    [ "$status" -ne 124 ] || echo "still running after $limit s"
    [ "$status" -eq 0 ] || return 1
    if [ "$count" -eq 0 ]; then
        echo "it holds no test yet"
        return 77
    fi
    echo "measured: $count tests"
}

# Debian's compiler with the sources of its standard library: sets foreign_rustc.
need_std_sources() {
    need rustc-web rust-web-src || return 1
    foreign_rustc=$(dpkg -L rustc-web | grep -x '.*/bin/rustc')
    [ -d "$("$foreign_rustc" --print sysroot)/lib/rustlib/src/rust/library/std" ]
}

# The example programs: built here unless EXAMPLES_DIR names a folder with them.
need_examples() { # need_examples NAME...
    if [ -z "${EXAMPLES_DIR:-}" ]; then
        local name arguments=()
        for name in "$@"; do
            [ -e "examples/$name.rs" ] || { echo "no example $name" >"$logs/$part-examples.log"; return 1; }
            arguments+=(--example "$name")
        done
        nice -n 5 cargo build --release --all-features "${arguments[@]}" >"$logs/$part-examples.log" 2>&1 || return 1
        EXAMPLES_DIR="${CARGO_TARGET_DIR:-target}/release/examples"
    fi
    export EXAMPLES_DIR
    local name
    for name in "$@"; do [ -x "$EXAMPLES_DIR/$name" ] || return 1; done
}

# The programs that are run under faults (.ci/deep.d/probes), and the host in C: sets probes_dir.
need_probes() {
    local target="${CARGO_TARGET_DIR:-$PWD/target}/probes"
    nice -n 5 cargo build --release --manifest-path .ci/deep.d/probes/Cargo.toml --target-dir "$target" \
        >"$logs/$part-probes.log" 2>&1 || return 1
    probes_dir="$target/release"
    cc -Wall -Wextra -O1 -o "$probes_dir/host" .ci/deep.d/probes/host.c -ldl >>"$logs/$part-probes.log" 2>&1
}

# The programs of examples/bridges, built in release: sets bridges_dir.
need_bridges() {
    local target="${CARGO_TARGET_DIR:-$PWD/target}/bridges"
    nice -n 5 cargo build --release --bins --manifest-path examples/bridges/Cargo.toml --target-dir "$target" \
        >"$logs/$part-bridges.log" 2>&1 || return 1
    bridges_dir="$target/release"
}
