// Consumes the numbers 0 to N-1 in one way, stops at the half until told that the server was killed and started again,
// goes on, and prints what came as a JSON list.
import { createInterface } from "node:readline";
import { connect } from "@nats-io/transport-node";
import { createInbox, nanos } from "@nats-io/nats-core";
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";

const [url, kind] = process.argv.slice(2);
const N = 400;
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const nc = await connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 100, timeout: 20000 });
const js = jetstream(nc, { timeout: 20000 });
const jsm = await jetstreamManager(nc, { timeout: 20000 });

const seen = [];
const all = new Set();
// Resolves to true when everything has come.
async function take(number) {
  seen.push(number);
  all.add(number);
  if (all.size === N / 2) {
    console.log("half");
    await input.next();
  }
  return all.size === N;
}

// The connection may not be back yet.
async function again(call) {
  for (;;) {
    try {
      return await call();
    } catch {
      await sleep(50);
    }
  }
}

async function readAll(messages) {
  for await (const m of messages) {
    const done = await take(Number(m.string()));
    m.ack();
    if (done) break;
  }
  messages.stop?.();
}

const options = { max_messages: 20, expires: 5000, idle_heartbeat: 1000 };

const kinds = {
  async fetch() {
    const c = await js.consumers.get("S", "c");
    while (all.size < N) {
      try {
        for await (const m of await c.fetch({ max_messages: 20, expires: 2000 })) {
          await take(Number(m.string()));
          m.ack();
        }
      } catch {
        await sleep(50);
      }
    }
  },
  async consume() {
    await readAll(await (await js.consumers.get("S", "c")).consume(options));
  },
  async ordered() {
    await readAll(await (await js.consumers.get("S")).consume(options));
  },
  async push() {
    await jsm.consumers.add("S", {
      durable_name: "p",
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(2000),
      max_ack_pending: 20,
      deliver_subject: createInbox(),
      idle_heartbeat: nanos(1000),
    });
    await readAll(await (await js.consumers.getPushConsumer("S", "p")).consume());
  },
  async "ordered-push"() {
    const ordered = { deliver_prefix: createInbox(), deliver_policy: DeliverPolicy.All };
    await readAll(await (await js.consumers.getPushConsumer("S", ordered)).consume());
  },
  async watch() {
    const kv = await new Kvm(js).create("K");
    for (let i = 0; i < N / 2; i++) await kv.put(`k.${i}`, String(i));
    const iterator = await kv.watch({ key: "k.*" });
    for await (const e of iterator) {
      const first = all.size < N / 2;
      const done = await take(Number(e.string()));
      if (first && all.size === N / 2) {
        (async () => {
          for (let i = N / 2; i < N; i++) await again(() => kv.put(`k.${i}`, String(i)));
        })();
      }
      if (done) break;
    }
  },
};

if (kind !== "watch") {
  await jsm.streams.add({ name: "S", subjects: ["s.>"] });
  for (let i = 0; i < N; i++) await js.publish("s.a", String(i));
  await jsm.consumers.add("S", { durable_name: "c", ack_policy: AckPolicy.Explicit, ack_wait: nanos(2000) });
}
await kinds[kind]();
console.log(JSON.stringify(seen));
process.exit(0);
