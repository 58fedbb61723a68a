-- With arguments: these paths in turn, made beforehand. A path after `bare ` goes without the headers of the command line.
function init(args)
  local requests = {}
  for _, arg in ipairs(args) do
    local bare = arg:match('^bare (.*)')
    requests[#requests + 1] = wrk.format('GET', bare or arg, bare and { Host = wrk.headers['Host'] } or nil)
  end
  if #requests == 0 then return end
  local turn = 0
  function request()
    turn = turn % #requests + 1
    return requests[turn]
  end
end

-- One line of JSON after the run. No `response` function: it would make wrk itself the slowest part.
function done(summary, latency)
  io.write(string.format(
    '\n{"requests":%d,"bytes":%d,"durationUs":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,"p50Us":%d,"p99Us":%d}\n',
    summary.requests, summary.bytes, summary.duration, summary.errors.connect, summary.errors.read,
    summary.errors.write, summary.errors.status, summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
