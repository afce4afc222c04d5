-- GET over the paths of the file PATHS, each line: token, space, path.
local requests = {}

-- Not at the top of the file: wrk knows its Host header only from init on.
local function load()
  for line in io.lines(os.getenv("PATHS")) do
    local token, path = line:match("^(%S+) (%S+)$")
    requests[#requests + 1] = wrk.format("GET", path, {["Authorization"] = "Bearer " .. token})
  end
  math.randomseed(os.time())
end

function request()
  if #requests == 0 then load() end
  return requests[math.random(#requests)]
end
