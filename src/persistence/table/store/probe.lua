-- KEYS[1]  a key that nothing else uses. Whether it can be written, and the store's time: s, µs
redis.call('SET', KEYS[1], '', 'PX', 1)
redis.call('DEL', KEYS[1])
return redis.call('TIME')
