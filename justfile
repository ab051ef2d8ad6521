# Short names for the commands of CONTRIBUTING.md. `just` lists them.

_list:
    @just --list

# a relay and two users in one terminal
demo:
    cargo run --release -- demo

# what has to pass before a commit
check:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
    cargo test --locked

# one test binary, such as `just test simulation`
test NAME *FILTER:
    cargo test --locked --test {{NAME}} {{FILTER}}

# instructions a message, compared with those that are kept
gate *ARGUMENTS:
    benches/gate {{ARGUMENTS}}

# faults planted on purpose: all of them, or one
faults *NAME:
    tests/faults/run {{NAME}}

# the recipes of CONTRIBUTING.md, applied to a copy of the tree and tested
recipes *CHECK:
    tests/recipes/run {{CHECK}}

# fuzz targets, each for so many seconds
fuzz SECONDS="60" *TARGET:
    fuzz/run {{SECONDS}} {{TARGET}}

# the figures of docs/measurements.md
measure *ROW:
    cargo build --release --locked
    benches/measure {{ROW}}
    benches/plot

# attacks on a relay, and what honest users notice of them
attack *ATTACK:
    cargo build --release --locked
    benches/attack {{ATTACK}}

# a Debian package, unpacked and started
package:
    packaging/check

# what the dependencies may be
deny:
    cargo deny check
