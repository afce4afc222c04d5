local body, message = os.getenv("TOKEN_BODY"), nil
function request()
  message = message or wrk.format("POST", "/oauth2/token", {["Content-Type"] = "application/x-www-form-urlencoded"}, body)
  return message
end
