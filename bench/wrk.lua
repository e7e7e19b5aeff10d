-- Arguments: method, body, number. Prints one line of JSON at the end; times are in microseconds.
--
-- With a number, each request goes to the next one of so many services: where a path ends with
-- "-0", it is replaced by the number of the service, and so it is in the body.

local requests, next_one = {}, 0

function init(args)
   wrk.method = args[1] or "GET"
   wrk.body = args[2]
   local number = tonumber(args[3] or "1")
   for i = 0, number - 1 do
      local path = wrk.path:gsub("%-0$", "-" .. i)
      local body = wrk.body and wrk.body:gsub("%-0\"", "-" .. i .. "\"")
      requests[i] = wrk.format(wrk.method, path, wrk.headers, body)
   end
   next_one = math.random(0, number - 1)
end

function request()
   next_one = (next_one + 1) % (#requests + 1)
   return requests[next_one]
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      'RESULT {"requests": %d, "microseconds": %d, "failures": %d, ' ..
      '"p50": %d, "p99": %d, "slowest": %d}\n',
      summary.requests, summary.duration,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      latency:percentile(50), latency:percentile(99), latency.max))
end
