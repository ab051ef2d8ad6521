-- What is known of a user. Writes nothing, and asks for no lease.
-- KEYS: user:<name>, bound:<name>. ARGV: incarnation, name, milliseconds since 1970.
-- Answers: found, the entry in `where` if its relay lives, the key that the name is bound to, key
-- text, prekey, and the letter key if it has not expired, each '' where there is none.
local held = holder(ARGV[2])
local is_here = held and lives(held.incarnation)
local user = redis.call('HMGET', KEYS[1], 'pem', 'prekey', 'key_json', 'key_expires')
local expires = tonumber(user[4] or '0')
return {'found', is_here and held.value or '', redis.call('GET', KEYS[2]) or '', user[1] or '',
  is_here and user[2] or '', expires > tonumber(ARGV[3]) and user[3] or ''}
