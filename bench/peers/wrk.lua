-- What wrk asks for, as the arguments say, and what it found, as one line of JSON.
-- usage: wrk -s wrk.lua URL -- [upload=BYTES] [hosts=N]
local hosts = 0

function init(args)
    for _, argument in ipairs(args) do
        local name, value = argument:match("^(%w+)=(%d+)$")
        if name == "upload" then
            wrk.method = "POST"
            wrk.headers["Content-Type"] = "application/octet-stream"
            wrk.body = string.rep("u", tonumber(value))
        elseif name == "hosts" then
            hosts = tonumber(value)
            local requests, next_one = {}, 0
            -- A hundred of them, spread over all.
            for n = 0, 99 do
                wrk.headers["Host"] = "shop-" .. math.floor(n * hosts / 100) .. ".example.com"
                requests[n] = wrk.format()
            end
            function request()
                next_one = (next_one + 1) % 100
                return requests[next_one]
            end
        end
    end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\n{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "p999": %f, "failed": %d}\n',
        summary.requests, summary.duration / 1e6,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
