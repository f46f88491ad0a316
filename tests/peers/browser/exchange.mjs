// What the official nats.js does over WebSocket, the same in a page and in node: core messages, a
// stream, a bucket that is watched. Returns what it saw.
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { headers, wsconnect } from "@nats-io/nats-core";

const COUNT = 50;

export async function exchange(options) {
  const seen = {};
  const nc = await wsconnect(options);
  seen.server_port = nc.info.port;

  const sub = nc.subscribe("page.>", { max: 3 });
  const h = headers();
  h.set("kind", "greeting");
  nc.publish("page.small", "hello", { headers: h });
  nc.publish("page.large", new Uint8Array(700_000));
  nc.publish("page.empty");
  seen.core = [];
  for await (const m of sub) {
    seen.core.push([m.subject, m.data.length, m.headers?.get("kind") ?? ""]);
  }

  const responder = nc.subscribe("page.ask", { callback: (_, m) => m.respond("answer to " + m.string()) });
  seen.answer = (await nc.request("page.ask", "you", { timeout: 20_000 })).string();
  responder.unsubscribe();

  const jsm = await jetstreamManager(nc, { timeout: 20_000 });
  await jsm.streams.add({ name: "PAGE", subjects: ["orders.>"] });
  const js = jetstream(nc, { timeout: 20_000 });
  for (let i = 1; i <= COUNT; i++) await js.publish(`orders.${i}`, `order ${i}`);
  await jsm.consumers.add("PAGE", { durable_name: "reader", ack_policy: "explicit" });
  const consumer = await js.consumers.get("PAGE", "reader");
  seen.orders = [];
  const messages = await consumer.consume({ max_messages: COUNT });
  for await (const m of messages) {
    seen.orders.push(m.subject);
    m.ack();
    if (seen.orders.length === COUNT) break;
  }

  const kv = await new Kvm(js).create("page");
  const watch = await kv.watch();
  await kv.put("colour", "red");
  await kv.put("colour", "blue");
  await kv.delete("colour");
  seen.watched = [];
  for await (const e of watch) {
    seen.watched.push([e.key, e.operation, e.operation === "PUT" ? e.string() : ""]);
    if (seen.watched.length === 3) break;
  }
  await nc.drain();
  return seen;
}
