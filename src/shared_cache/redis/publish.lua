-- Offers a snapshot of one user: decides as `decide_replace` in src/shared_cache/entry.rs.
--
-- KEYS[1]: the user's snapshot, a hash.
-- ARGV: the key's life in milliseconds; format; version, 20 digits; etag; listed and confirmed, microseconds of this
-- server's clock, exact as Lua's numbers below 2^53; then, unless only the decision is asked for, state and index.
local key = KEYS[1]
local life, format, version, etag, listed, confirmed = unpack(ARGV, 1, 6)

local function number(text)
  return text and #text <= 16 and not text:find('%D') and tonumber(text)
end

-- The stamp of the snapshot that is there; nil if a reader couldn't use it.
local function present()
  for _, part in ipairs({'etag', 'state', 'index'}) do
    if redis.call('HSTRLEN', key, part) == 0 then
      return nil
    end
  end
  local fields = redis.call('HMGET', key, 'format', 'version', 'etag', 'listed', 'confirmed')
  local stamp = {
    format = fields[1],
    version = fields[2],
    etag = fields[3],
    listed = number(fields[4]),
    confirmed = number(fields[5]),
  }
  local v = stamp.version
  local is_version = v and #v == 20 and not v:find('%D') and v <= '18446744073709551615'
  -- Stamped by a clock that has gone back since, it would be in the way until that time comes again.
  local now = redis.call('TIME')
  local latest = (now[1] + 1) * 1000000 + now[2]
  if stamp.format and is_version and stamp.listed and stamp.confirmed
    and stamp.listed <= latest and stamp.confirmed <= latest then
    return stamp
  end
end

local type = redis.call('TYPE', key).ok
local old = type == 'hash' and present()

if old then
  -- Strings of the same length compare as the numbers; numbers of this size aren't exact.
  if version < old.version then
    return 'kept'
  end
  local is_same_format = version == old.version and format == old.format
  if is_same_format and etag ~= old.etag and tonumber(confirmed) <= old.confirmed then
    return 'kept'
  end
  if is_same_format and etag == old.etag and tonumber(listed) <= old.listed then
    if tonumber(confirmed) > old.confirmed then
      redis.call('HSET', key, 'confirmed', confirmed)
    end
    redis.call('PEXPIRE', key, life)
    return 'raised'
  end
end

if #ARGV < 8 then
  return 'wanted'
end
-- Under this name nothing else can be of use, and a string or a list would stay in the way for ever.
if type ~= 'hash' and type ~= 'none' then
  redis.call('DEL', key)
end
redis.call('HSET', key, 'format', format, 'version', version, 'etag', etag, 'listed', listed, 'confirmed', confirmed,
  'state', ARGV[7], 'index', ARGV[8])
redis.call('PEXPIRE', key, life)
return 'stored'
