local body = os.getenv("TOKEN_BODY")
local message = wrk.format("POST", "/oauth2/token", {["Content-Type"] = "application/x-www-form-urlencoded"}, body)
function request() return message end
