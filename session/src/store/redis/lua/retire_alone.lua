local version, retired, expires = head(KEYS[1])
if retired and (retired == ARGV[3] or retired == ARGV[4]) then return 2 end
if not version or retired then return false end
if string.match(ARGV[1], 'v(%d+)') ~= version then return redis.call('HGETALL', KEYS[1]) end
retire(KEYS[1], expires, ARGV[2], ARGV[3])
return 1
