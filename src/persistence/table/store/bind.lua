-- KEYS[1]  a session; its value is "<began, seconds since 1970> <server>"
-- ARGV     1 now, s   2 idle timeout, ms   3 max_lifetime, s (0: none)
--          4 began and 5 server of the offer (empty: none)
--          6 rule: when a live binding stays   7 the server of rule "not to"   8 "1": this is a use
local now, idle, max = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local rule = ARGV[6]

-- How long a binding lives, in ms, unless it is used.
local function left(began)
  if max == 0 then return idle end
  return math.max(1, math.min(idle, (began + max - now + 1) * 1000))
end

local value = redis.call('GET', KEYS[1])
local began, server
if value then began, server = string.match(value, '^(%d+) (.+)$') end
began = tonumber(began)

local stays = server and rule ~= 'never' and (max == 0 or now - began <= max)
if stays and rule == 'not to' then stays = server ~= ARGV[7] end
if stays and rule == 'not older' then stays = began >= tonumber(ARGV[4]) end
if stays then
  if ARGV[8] == '1' then redis.call('PEXPIRE', KEYS[1], left(began)) end
  return value
end

if ARGV[5] == '' then return false end
local offer = ARGV[4] .. ' ' .. ARGV[5]
redis.call('SET', KEYS[1], offer, 'PX', left(tonumber(ARGV[4])))
return offer
