-- wrk's summary as one line of JSON. `init` and `done` run once, before and after the load, and slow no request.

-- An argument is a number: how many bytes each request posts.
init = function(args)
  if args[1] then
    wrk.method = "POST"
    wrk.body = string.rep("u", tonumber(args[1]))
  end
end

done = function(summary, latency)
  local failed = summary.errors
  io.write(string.format(
    'SUMMARY {"requests": %d, "duration_us": %d, "bytes": %d, "p50_us": %.0f, "p90_us": %.0f, "p99_us": %.0f, '
      .. '"socket_errors": %d, "bad_status": %d}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(90), latency:percentile(99),
    failed.connect + failed.read + failed.write + failed.timeout, failed.status))
end
