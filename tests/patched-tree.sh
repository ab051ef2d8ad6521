# Sourced by tests/faults/run and tests/recipes/run, in the root of the tree: patches that are kept fitting,
# and a copy of the tree to apply them to. A patch says at its head, before the diff, `NAME: what`.

head_of() { sed -n "/^diff --git/q; s/^$2: //p" "$1" | head -1; }

# Whether a patch has these lines at its head, and applies. Not by git: a copy of the tree need not be a
# repository. No fuzz: what moved is looked at again.
fits() {
    local patch=$1 line bad=0
    shift
    for line in "$@"; do
        if [ -z "$(head_of "$patch" "$line")" ]; then echo "$patch: no line '$line:'" >&2; bad=1; fi
    done
    if ! patch --dry-run --silent --fuzz=0 --strip=1 < "$patch"; then
        echo "$patch: the patch does not apply any more" >&2
        bad=1
    fi
    return $bad
}

# The copy is in $copy, below target/; the tree itself is not touched. Builds go to a folder of their own:
# cargo tells two trees apart by the times of their files only.
copy_tree() {
    local root=$PWD
    export CARGO_TARGET_DIR=${FAULTS_TARGET_DIR:-$root/target/faults/target}
    copy=$root/target/faults/tree
    rm -rf "$copy"
    mkdir -p "$copy"
    if [ ! -d "$CARGO_TARGET_DIR/debug" ] && [ -d target/debug/deps ]; then
        # What others wrote was built before: those builds are linked to, not made again.
        mkdir -p "$CARGO_TARGET_DIR/debug"
        (cd target/debug && find .fingerprint/* build/* deps/lib* -maxdepth 0 ! -name '*sealwax*' \
            -exec cp -al --parents -t "$CARGO_TARGET_DIR/debug" {} +)
    fi
    tar --exclude=./target --exclude=./.git --exclude=./fuzz/target -cf - . | tar -xmf - -C "$copy"
}

# Applies a patch to the copy; with --reverse behind it, takes it back.
plant() {
    local patch=$1
    shift
    patch --silent --no-backup-if-mismatch --fuzz=0 --strip=1 --directory="$copy" "$@" < "$patch"
}
