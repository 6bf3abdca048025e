-- Calls `action` with the set of each indexed value of the session under `key`, and its member
-- there.
local function each_value(key, action)
  local indexed = redis.pcall('HGET', key, '@i')
  if type(indexed) ~= 'string' then return end
  local prefix, member = string.sub(key, 1, -44), string.sub(indexed, 1, 14) .. string.sub(key, -43)
  for name in string.gmatch(string.sub(indexed, 15), '[^\n]+') do
    local value = redis.call('HGET', key, name)
    if value and value ~= 'null' then
      action(prefix .. '@' .. redis.sha1hex(name .. '\n' .. value), member)
    end
  end
end

function index(key) each_value(key, add) end
function unindex(key) each_value(key, remove) end

