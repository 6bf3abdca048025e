-- Sends GET requests, each with the next of the cookies in the file that is the argument.
local requests, next_one = {}, 0

function init(arguments)
   for cookie in io.lines(arguments[1]) do
      wrk.headers["Cookie"] = cookie
      requests[#requests + 1] = wrk.format("GET")
   end
end

function request()
   next_one = next_one % #requests + 1
   return requests[next_one]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format("RESULT %d %d %d %d %d\n",
      summary.requests, summary.duration,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      latency:percentile(50), latency:percentile(99)))
end
