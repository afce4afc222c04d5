// Verify a Juniper webhook with Node.js, no dependency.
import { createHmac, timingSafeEqual } from "node:crypto";

/** Say whether Juniper signed exactly these bytes (a Buffer) in the last five minutes. */
export function verify(body, header, secret, now = Date.now() / 1000) {
  const pairs = header.split(",").map((part) => [part.split("=", 1)[0], part.slice(part.indexOf("=") + 1)]);
  const times = pairs.filter(([name]) => name === "t").map(([, value]) => value);
  if (times.length !== 1 || !/^[0-9]+$/.test(times[0])) return false;
  if (Math.abs(now - Number(times[0])) > 300) return false;
  const expected = createHmac("sha256", secret).update(`${times[0]}.`).update(body).digest("hex");
  return pairs
    .filter(([name, value]) => name === "v1" && value.length === expected.length)
    .map(([, value]) => timingSafeEqual(Buffer.from(expected), Buffer.from(value, "latin1")))
    .includes(true);
}

// node verify.mjs HEADER SECRET [NOW] < body
import { readFileSync } from "node:fs";
if (process.argv[1]?.endsWith("verify.mjs")) {
  const [header, secret, now] = process.argv.slice(2);
  process.exit(verify(readFileSync(0), header, secret, now && Number(now)) ? 0 : 1);
}
