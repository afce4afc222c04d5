import { readFileSync } from "node:fs";
import { connect, type Credentials } from "./client.js";

const file = process.argv[2] ?? "var/demo.json";
const juniper = connect(JSON.parse(readFileSync(file, "utf8")) as Credentials);

const { data: made, error } = await juniper.POST("/orders", {
  params: { header: { "Idempotency-Key": `example-${Date.now()}` } },
  body: {
    customer: {
      sourceId: "1234567890",
      firstName: "John",
      lastName: "Doe",
      address: { line1: "437 Lytton Ave", city: "Palo Alto", state: "CA", zipCode: "94301" },
    },
    daysSupply: 30,
    lineItems: [
      {
        productId: 77123129891,
        quantity: 2,
        packDescription: "Whole Body Wellness",
        administration: { morning: 1, afternoon: 0, evening: 1, sleep: 0 },
      },
    ],
    shippingMethod: "STANDARD",
  },
});
if (error) throw new Error(`${error.code}: ${error.detail} (${error.requestId})`);

const { data: read } = await juniper.GET("/orders/{orderId}", { params: { path: { orderId: made.id ?? "" } } });
console.log(JSON.stringify({ id: read?.id, status: read?.status, total: read?.total }));
