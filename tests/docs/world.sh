# The world in which the examples of `--help` and of the documents run. bash reads this, then the
# stage of one example (`stages`), whose line is in $LINE.
#
# Processes, network and mounts are the example's own (`examples.rs` starts bash so): every port is free, nobody
# else's process can be seen, and whatever was started is killed when bash ends.
set -Eeuo pipefail
set -m # each job is a process group, so that `finish` finds the program in it
trap 'echo "failed: $BASH_COMMAND" >&2' ERR
# The code with which bash ends stays what it is, also where none of these files is there.
trap '[ $? = 0 ] || tail -n 20 out err ./*.out ./*.err ./*.log 2>/dev/null >&2 || true' EXIT

# Ends an example that cannot run on this machine.
skip() {
    echo "$*" >&2
    exit 77
}

# bash calls this for a program that it does not find. Only these may be missing.
command_not_found_handle() {
    case $1 in jq | make | man | pidof | pkill | taskset) skip "$1 is not installed" ;; esac
    echo "$1: no such command" >&2
    return 127
}

# Fails where the command succeeds. (`! COMMAND` alone does not end a script.)
not() { ! "$@"; }

# Fails unless the command, all but the first word, ends with the code that is the first word.
code() {
    local is=0
    "${@:2}" || is=$?
    [ "$is" = "$1" ]
}

# Waits until a line of file $2 matches $1.
await() { until grep -qs -- "$1" "$2"; do sleep 0.05; done; }

# In the example, puts $2 in the place of $1: a placeholder, or a figure that would take long.
replace() {
    [[ $LINE = *"$1"* ]]
    LINE=${LINE/"$1"/"$2"}
}

# The example.
example() { eval "$LINE"; }

# The example at a terminal. $1 is what to wait for there and what to type then:
# [["words", "answer"], …]
at_terminal() { python3 "$TESTS/python/terminal.py" "$1" "$BASH" -c "$LINE"; }

# The example in the background, as job $job: what it says goes to the files `out` and `err`.
start() {
    example >out 2>err &
    job=$!
}

# SIGTERM to the program of this job, which has to end with 0.
finish() {
    pkill -TERM -g "$job" -x sealwax
    wait "$job"
}

# A home $3 for the user $2, with key $1 of tests/data: making one takes a second.
user() {
    mkdir -p "$3"
    chmod 700 "$3"
    (umask 077 && cp "$TESTS/data/$1.pem" "$3/identity.pem" && echo "$2" >"$3/name")
}

# The relay at 127.0.0.1:12345 and relay.example:12345, in the default home unless told otherwise.
relay() {
    sealwax serve "$@" 2>relay.log &
    relay=$!
    await 'listening on' relay.log
}

# User $1 is there, with bob's key or that of $2; what is sent to them goes to the file $1.out.
come() {
    user "${2-bob}" "$1" "users/$1"
    rm -f "$1.err"
    sealwax recv --home "users/$1" >"$1.out" 2>"$1.err" &
    guest=$!
    await "you are $1" "$1.err"
}

# The user who came last leaves.
leave() {
    kill "$guest"
    wait "$guest"
}

# Carol sends user $1 the text $2, and waits until they have it.
tell() {
    user carol carol users/carol
    sealwax send --home users/carol "$1" "$2"
}

# You and bob have exchanged keys, and your home knows the relay.
acquainted() {
    relay
    come bob
    sealwax send bob hello
}

# Bob was here and is away; `hello` waits for him.
left() {
    acquainted
    leave
    sealwax send --until stored bob hello
}

# Bob's name is bound, and bob has not been here since 1970.
long_ago() {
    relay
    come bob
    leave
    kill "$relay"
    wait "$relay"
    python3 - ~/.local/share/sealwax/relay/names.sqlite <<'END'
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as names:
    names.execute("UPDATE names SET used_day = 0")
END
}

# The state of the key that you know of $1: a fingerprint and a word.
known() { sealwax keys list | sed -n "s/^$1 //p"; }

ip link set lo up
mount -t tmpfs none /srv
printf '127.0.0.1 localhost relay.example\n::1 localhost\n' >hosts
mount --bind hosts /etc/hosts

# You, whose default home it is: the --name of the example, or alice.
you=$(sed -n 's/.*--name \([a-z]*\).*/\1/p' <<<"$LINE")
user alice "${you:-alice}" ~/.local/share/sealwax

# The files that the examples read.
printf 'milk\nbread\n' >notes.txt
printf 'started\n' >app.log
printf 'all:\n\t@echo built\n' >Makefile
echo 'the old passphrase' >old
echo 'the new passphrase' >new
