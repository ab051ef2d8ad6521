// The half of docs/loop/player.html that knows traces, without a page: node run.js PAGE
"use strict";
const assert = require("node:assert");
const page = require("node:fs").readFileSync(process.argv[2], "utf8");
const between = (begin) => page.split(begin)[1].split("</script>")[0];
(0, eval)(between("<script>\n"));
const {parse, worldAt, codeKey, find, visible, sentence, served, token, key} = globalThis.player;
const code = JSON.parse(between('id="code">\n'));
const text = between('id="trace">\n');
const trace = parse(text);

// What follows from the calls of a tick is what the loop tells of its sources at the end.
trace.ticks.forEach((tick, at) => {
  const world = worldAt(trace, at, tick.steps.length);
  for (const source of tick.sources) {
    for (const member of ["state", "watched", "inbox", "outbox", "blocked", "not_read", "fd"]) {
      assert.deepEqual(world.get(key(source))?.[member], source[member], `tick ${tick.tick}, ${source.name}: ${member}`);
    }
  }
  tick.steps.forEach((step, done) => assert.ok(code[codeKey(tick, done, worldAt(trace, at, done))], JSON.stringify(step)));
});
// Forward and back, a place shows the same.
const once = [...worldAt(trace, 9, 1)];
worldAt(trace, trace.ticks.length - 1, 0);
assert.deepEqual([...worldAt(trace, 9, 1)], once);

// What happens now, in words; also of what no run of the demo shows.
trace.ticks.forEach((tick, at) => {
  for (let done = 0; done <= tick.steps.length + 1; done += 1) assert.match(sentence(trace, at, done), /^(The|All) .*\.$/);
});
const alice = {source: 2, tenant: 1, name: "alice", phase: "dispatch"};
for (const [step, says] of [
  [{call: "read", bytes: 0}, "The loop reads from alice and gets 0 bytes: its other end sends no more."],
  [{call: "read", errno: "EAGAIN"}, "The loop reads from alice. There is nothing to read now."],
  [{call: "read", errno: "ECONNRESET"}, "The loop calls read for alice, which fails: ECONNRESET."],
  [{call: "writev", offered: 9, bytes: 4, left: 5}, "The loop gives the kernel 9 bytes for alice in one call. The kernel takes 4 bytes; the outbox keeps 5 bytes."],
  [{call: "writev", offered: 1, bytes: 0, left: 1, errno: "EAGAIN"}, "The loop gives the kernel 1 byte for alice in one call. The kernel takes none; the outbox keeps 1 byte."],
  [{call: "epoll_ctl", how: "mod", interest: []}, "The loop tells the kernel to watch alice differently from now on, for nothing but hang-ups."],
  [{call: "new_call"}, "The loop calls new_call for alice."],
  [{told: "received", shown: 5, used: 0, changes: [{...alice, closing: true}]}, "The loop shows the handler 5 bytes from alice. It uses none; the inbox keeps 5 bytes. The handler closes #2 alice."],
  [{told: "timed_out", deadline: "write"}, "The handler is told that a deadline of alice has passed: write."],
  [{told: "closed", reason: "failed", errno: "EPIPE"}, "The handler is told that alice is gone: failed, EPIPE."],
  [{told: "new_event"}, "The handler is told new_event of alice."],
]) {
  assert.equal(sentence({ticks: [{steps: [{...alice, ...step}]}]}, 0, 1), says);
}
// How far the tick has come with its ready list.
const two = {events: [alice, {...alice, source: 3}], steps: [
  {...alice, call: "read"}, {...alice, source: 3, call: "read"}, {...alice, call: "writev", phase: "flush"}]};
assert.deepEqual([0, 1, 2, 3, 4].map((done) => served(two, done).join()),
  ["waits,waits", "now,waits", "done,now", "done,done", "done,done"]);

const shown = trace.ticks.map((_, at) => at);
const found = find(trace, shown, {at: 0, done: 0}, "ALICE", 1);
assert.ok(found.at > 0 && JSON.stringify(trace.ticks[found.at]).includes("alice"));
assert.equal(find(trace, shown, {at: 0, done: 0}, "nobody at all", 1), null);
assert.equal(token({source: 3, tenant: 2}), "0x0000000300000003");
assert.equal(visible("a\u202eb\n"), "a\\u{202e}b\\u{a}");

const lines = text.trimEnd().split("\n");
assert.equal(parse(`listening on 127.0.0.1:1\n${text}`).ticks.length, lines.length, "lines of a log are passed over");
assert.ok(parse(text.trimEnd().slice(0, -9)).cut, "the last line may be cut off");
for (const [bad, why] of [
  ["", /no tick/], ["[\n{}", /--trace-file/], [`{"trace":\n${text}`, /Line 1 is damaged/],
  ['{"trace":"tick"}\n', /Line 1 is damaged/], [text.replace('"steps":[{', '"steps":[7,{'), /no list of objects/],
  ["x".repeat(33 * 1024 * 1024), /at most/],
]) {
  assert.throws(() => parse(bad), why);
}
console.log("the logic of the player is right");
