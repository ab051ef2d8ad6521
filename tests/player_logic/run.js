// The half of docs/loop/player.html that knows traces, without a page: node run.js PAGE
"use strict";
const assert = require("node:assert");
const page = require("node:fs").readFileSync(process.argv[2], "utf8");
const between = (begin) => page.split(begin)[1].split("</script>")[0];
(0, eval)(between("<script>\n"));
const {parse, worldAt, codeKey, find, visible, token, key} = globalThis.player;
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
