return leave(KEYS[1], ARGV[1])
