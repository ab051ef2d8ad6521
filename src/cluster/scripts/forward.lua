-- Appends to what waits for another relay.
-- KEYS: lease, relay:<target>. ARGV: incarnation, target, kind, data, '1' where it may be refused.
-- Answers: queued; or no_lease, gone, full.
local target, kind, data = ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', KEYS[1]) == 0 then return {'no_lease'} end
if redis.call('EXISTS', KEYS[2]) == 0 then return {'gone'} end
if not send(target, kind, data, ARGV[5] == '1' and MAX_INBOX) then return {'full'} end
return {'queued'}
