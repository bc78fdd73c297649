# shellcheck shell=bash
# Sourced after common.sh: tests under a sanitizer of the compiler. The runtimes
# come with the toolchain; RUSTC_BOOTSTRAP opens the option on a stable one too.
target=x86_64-unknown-linux-gnu

runtime_library() { # runtime_library asan|lsan|tsan
    local file
    for file in "$(rustc --print sysroot)/lib/rustlib/$target/lib"/librustc-*_rt."$1".a; do
        [ ! -e "$file" ] || echo "$file"
    done
}

sanitize() { # sanitize asan|lsan address|leak
    if [ "$(host_target)" != "$target" ] || [ -z "$(runtime_library "$1")" ]; then
        skip tests "the toolchain brings no $1 runtime for this machine"
        return
    fi
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$2"
    own_target "$1"
    export LOOPLINE_TEST_SCALE="${LOOPLINE_TEST_SCALE:-10}"
    # The slow unwinder, because suppressions need the names of all frames.
    export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:fast_unwind_on_malloc=0"
    export LSAN_OPTIONS="max_leaks=20:fast_unwind_on_malloc=0:suppressions=$PWD/.ci/deep.d/lsan.supp"
    check libraries cargo_test 1800 --target "$target" --lib -p loopline-runtime -p loopline-io
    check "facade tests" cargo_test 1800 --target "$target" --tests -p loopline --features "$features"
    # In release builds tasks get the blocks of earlier ones.
    export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
    mapfile -t names < <(facade_tests 'tasks' 'cancel*' 'panics*' 'drops' 'shutdown*' 'join_set*' 'scope*' 'threads')
    check "facade tests, blocks used again" \
        cargo_test 1800 --target "$target" --release -p loopline --features "$features" "${names[@]}"
}
