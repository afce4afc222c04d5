-- Orders of three lines over the hot products. KEYED=1 sends an Idempotency-Key with each.
local products = {}
for id in string.gmatch(os.getenv("PRODUCTS"), "%d+") do products[#products + 1] = id end
local tokens = {}
for token in string.gmatch(os.getenv("TOKENS"), "%S+") do tokens[#tokens + 1] = token end
local keyed = os.getenv("KEYED") == "1"
local run = os.getenv("RUN") or "0"
local path = os.getenv("CREATE_PATH") or "/v1/orders"
local counter = 0
math.randomseed(os.time() + tonumber(run) * 7919)

function request()
  counter = counter + 1
  local lines, used = {}, {}
  while #lines < 3 do
    local id = products[math.random(#products)]
    if not used[id] then
      used[id] = true
      lines[#lines + 1] = '{"productId":' .. id .. ',"quantity":1,"packDescription":"Daily Pack",' ..
        '"administration":{"morning":1,"afternoon":0,"evening":0,"sleep":0}}'
    end
  end
  local headers = {["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. tokens[math.random(#tokens)]}
  if keyed then headers["Idempotency-Key"] = run .. "-" .. counter .. "-" .. math.random(1000000000) end
  return wrk.format("POST", path, headers,
    '{"customer":{"sourceId":"c' .. math.random(1000000000) .. '","firstName":"John","lastName":"Doe",' ..
    '"email":"john.doe@example.com","phone":"1234567890","address":{"line1":"437 Lytton Ave","city":"Palo Alto",' ..
    '"state":"CA","zipCode":"94301"}},"daysSupply":30,"lineItems":[' .. table.concat(lines, ",") ..
    '],"shippingMethod":"STANDARD"}')
end
