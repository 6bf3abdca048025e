-- Whether a session with this `@i` is indexed by a field.
function is_indexed_by(indexed, name)
  return string.find('\n' .. string.sub(indexed, 15) .. '\n', '\n' .. name .. '\n', 1, true) ~= nil
end

