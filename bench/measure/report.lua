-- wrk's summary as one line of JSON. Only `done` is defined: it runs once, after the load, and slows no request.
done = function(summary, latency)
  local failed = summary.errors
  io.write(string.format(
    'SUMMARY {"requests": %d, "duration_us": %d, "p50_us": %.0f, "p90_us": %.0f, "p99_us": %.0f, '
      .. '"socket_errors": %d, "bad_status": %d}\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(90), latency:percentile(99),
    failed.connect + failed.read + failed.write + failed.timeout, failed.status))
end
