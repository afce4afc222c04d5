-- Seven reads to three creates.
dofile(os.getenv("LUA") .. "/create.lua")
local create = request
dofile(os.getenv("LUA") .. "/get.lua")
local get = request
function request() if math.random() < 0.7 then return get() else return create() end end
