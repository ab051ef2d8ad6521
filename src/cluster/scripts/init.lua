-- `--cluster-init`: makes this engine that of a cluster, if it is not one's yet.
-- KEYS: id, relay-key. ARGV: incarnation, id, relay key.
-- Answers: initialized, the id and the relay key that it has now.
redis.call('SET', KEYS[1], ARGV[2], 'NX')
redis.call('SET', KEYS[2], ARGV[3], 'NX')
return {'initialized', redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])}
