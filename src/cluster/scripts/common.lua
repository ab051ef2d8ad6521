-- Stands in front of every script, behind the constants that `script.rs` writes.
-- A script answers with an array whose first element is a word. ARGV[1] is the caller's incarnation,
-- and KEYS[1] its lease, which every script that writes for a relay checks first.

local P = 'sealwax:'

local function lives(incarnation)
  return redis.call('EXISTS', P .. 'relay:' .. incarnation) == 1
end

-- Numbers as text: Lua would write large ones with an exponent.
local function text(number)
  return string.format('%.0f', number)
end

-- Who holds a name, whether its relay lives or not.
local function holder(name)
  local value = redis.call('HGET', P .. 'where', name)
  if not value then return nil end
  local incarnation, session, version, fp = string.match(value, '^(%S+) (%S+) (%S+) (%S+)$')
  return {value = value, incarnation = incarnation, session = session, version = version, fp = fp}
end

-- Notes for the copies of all relays where a name is now; '' is nowhere. The ids of the entries are
-- numbers without a gap, so that a reader sees when it missed one.
local function note(name, value)
  local number = redis.call('INCR', P .. 'change')
  redis.call('XADD', P .. 'changes', 'MAXLEN', CHANGES, text(number) .. '-0',
    'epoch', redis.call('GET', P .. 'epoch'), 'name', name, 'where', value)
end

-- Counts an entry that was appended to what waits for a relay: its number, which is in its id (0-1,
-- 0-2 …), and its bytes.
local function count(flow, bytes)
  redis.call('HINCRBY', flow, 'number', 1)
  redis.call('HINCRBY', flow, 'last', bytes)
end

-- Appends something short to what waits for a relay.
local function send(target, kind, data)
  count(P .. 'flow:' .. target, #kind + #data + ENTRY_BYTES)
  redis.call('XADD', P .. 'in:' .. target, '0-*', 'kind', kind, 'from', ARGV[1], 'data', data)
end

-- A name is held no longer: what only its connection needed goes too.
local function let_go(name)
  redis.call('HDEL', P .. 'where', name)
  if redis.call('EXISTS', P .. 'bound:' .. name) == 1 then
    redis.call('HDEL', P .. 'user:' .. name, 'prekey')
  else
    redis.call('DEL', P .. 'user:' .. name)
  end
  note(name, '')
end
