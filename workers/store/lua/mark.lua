-- Joins wishes to what is due. ARGV: prefix, now in ms, JSON list of {work, lane, at, reason, commit, full, request}.
-- Work under a lease only gets "again": its completion makes it due. Parked work wants an operator or a commit.
mark(cjson.decode(ARGV[3]))
return 1
