// Signed deliveries with BullMQ: a job for each, posted over kept connections, as many at once as our engine sends.
// Usage: node deliver.mjs REDIS_PORT RECEIVER_PORT COUNT. Says "queued", waits for a line, works until it is ended.
import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { Queue, Worker } from "bullmq";

const CONCURRENCY = 32;
const [redisPort, receiverPort, count] = process.argv.slice(2).map(Number);
const connection = { host: "127.0.0.1", port: redisPort, maxRetriesPerRequest: null };
const agent = new http.Agent({ keepAlive: true, maxSockets: CONCURRENCY, scheduling: "lifo" });
const secret = randomBytes(32).toString("hex");

function headers(body, id) {
  const seconds = Math.floor(Date.now() / 1000);
  const digest = (text) => createHmac("sha256", secret).update(text);
  return {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
    "X-Juniper-Signature": `t=${seconds},v1=${digest(`${seconds}.${body}`).digest("hex")}`,
    "X-Juniper-Webhook-Id": id,
    "webhook-id": id,
    "webhook-timestamp": String(seconds),
    "webhook-signature": `v1,${digest(`${id}.${seconds}.${body}`).digest("base64")}`,
  };
}

function post(body, id) {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port: receiverPort, path: "/hook", method: "POST", agent, timeout: 15000 };
    const request = http.request({ ...options, headers: headers(body, id) }, (answer) => {
      answer.resume();
      answer.on("end", () => (answer.statusCode < 300 ? resolve() : reject(new Error(String(answer.statusCode)))));
    });
    request.on("error", reject);
    request.end(body);
  });
}

const queue = new Queue("deliveries", { connection });
const options = { attempts: 11, backoff: { type: "exponential", delay: 5000 }, removeOnComplete: true };
for (let first = 0; first < count; first += 500) {
  const jobs = [];
  for (let number = first; number < Math.min(count, first + 500); number += 1) {
    const order = randomBytes(14).toString("hex").slice(0, 27);
    const body = JSON.stringify({
      order: {
        orderId: order, status: "CREATED", fulfillmentInfo: null,
        createdAt: "2023-10-01T12:00:00.000Z", updatedAt: "2023-10-01T12:00:00.000Z",
      },
    });
    jobs.push({ name: "order.created", data: { body }, opts: options });
  }
  await queue.addBulk(jobs);
}
console.log("queued");
await once(process.stdin, "data");
new Worker("deliveries", (job) => post(job.data.body, job.id), { connection, concurrency: CONCURRENCY });
