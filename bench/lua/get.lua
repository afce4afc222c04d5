-- GET over the paths of the file PATHS, each line: token, space, path.
local requests = {}
for line in io.lines(os.getenv("PATHS")) do
  local token, path = line:match("^(%S+) (%S+)$")
  requests[#requests + 1] = wrk.format("GET", path, {["Authorization"] = "Bearer " .. token})
end
math.randomseed(os.time())
function request() return requests[math.random(#requests)] end
