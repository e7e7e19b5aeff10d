-- Arguments: method, body. Prints one line of JSON at the end; times are in microseconds.

function init(args)
   wrk.method = args[1] or "GET"
   wrk.body = args[2]
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
