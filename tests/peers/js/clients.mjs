// Runs named parts against one server with nats.js and prints a line per observation.
// Two servers that answer alike give the same text: nothing that depends on time, ports or random names is printed.
import { readFileSync } from "node:fs";
import { connect } from "@nats-io/transport-node";
import { headers, nanos } from "@nats-io/nats-core";
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager, RetentionPolicy } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { logins, parseCases, reconnect } from "./logins.mjs";

const text = (value) => value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
const say = (label, ...values) => console.log(`${label}: ${values.map(text).join(" | ")}`);

async function failure(promise) {
  try {
    await promise;
    return "no error";
  } catch (err) {
    return [err.constructor.name, err.code, err.message].filter((part) => part !== undefined).join(" ");
  }
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// What the server says it keeps, without the levels newer servers note in the metadata.
function config({ metadata = {}, ...rest }) {
  const kept = Object.entries(metadata).filter(([key]) => !key.startsWith("_nats."));
  const all = { ...rest, ...(kept.length ? { metadata: Object.fromEntries(kept) } : {}) };
  return Object.fromEntries(Object.entries(all).filter(([key]) => !newerFields.has(key)).sort());
}

// Streams and consumers of releases after 2.10 say these, with the value that changes nothing.
const newerFields = new Set(["allow_msg_ttl", "allow_atomic", "allow_msg_counter", "allow_msg_schedules",
  "persist_mode", "allow_batched"]);

const state = (s) => text(Object.fromEntries(["messages", "bytes", "first_seq", "last_seq", "num_deleted", "deleted",
  "num_subjects", "subjects", "consumer_count"].map((key) => [key, s[key]])));

const show = (m) => [m.subject, m.string(), m.seq, m.info.deliverySequence, m.info.deliveryCount, m.info.pending].join(" ");

async function core(nc) {
  say("server", nc.info.headers, nc.info.max_payload, nc.info.jetstream);
  const sub = nc.subscribe("a.>", { max: 2 });
  const h = headers();
  h.append("One", "1");
  h.append("One", "2");
  nc.publish("a.b", "first", { headers: h, reply: "back" });
  nc.publish("b.b", "not heard");
  nc.publish("a.c.d", "second");
  for await (const m of sub) say("message", m.subject, m.reply, m.string(), m.headers?.values("One"));
  const counts = [0, 0];
  counts.forEach((_, i) => nc.subscribe("work", { queue: "crew", callback: () => counts[i]++ }));
  await nc.flush();
  for (let i = 0; i < 100; i++) nc.publish("work");
  await nc.flush();
  for (let i = 0; i < 200 && counts[0] + counts[1] < 100; i++) await sleep(5);
  say("queue", counts[0] + counts[1], counts.every((n) => n > 0));
  nc.subscribe("service", { callback: (_, m) => m.respond(`re ${m.string()}`) });
  say("request", (await nc.request("service", "ask")).string());
  say("no responders", await failure(nc.request("nobody")));
  nc.subscribe("mute", { callback: () => {} });
  say("timeout", await failure(nc.request("mute", "", { timeout: 50 })));
  nc.subscribe("many", { callback: (_, m) => ["1", "2", "3"].forEach((n) => m.respond(n)) });
  const replies = [];
  for await (const m of await nc.requestMany("many", "", { maxMessages: 3, maxWait: 1000 })) replies.push(m.string());
  say("request many", replies);
  const other = await connect({ servers: nc.getServer() });
  const got = [];
  other.subscribe("drain.*", { callback: (_, m) => got.push(m.subject) });
  await other.flush();
  for (let i = 0; i < 10; i++) nc.publish(`drain.${i}`);
  await nc.flush();
  await other.drain();
  say("drain", got.sort(), other.isClosed(), (await nc.rtt()) < 1000);
}

async function streams(nc) {
  const jsm = await jetstreamManager(nc);
  const js = jetstream(nc);
  const made = await jsm.streams.add({ name: "S", subjects: ["s.*"] });
  say("created", config(made.config), state(made.state));
  say("overlap", await failure(jsm.streams.add({ name: "T", subjects: ["s.x"] })));
  say("missing", await failure(jsm.streams.info("NONE")));
  for (const id of ["x", "x", "y"]) {
    const ack = await js.publish("s.a", id, { msgID: id });
    say("ack", ack.stream, ack.seq, ack.duplicate);
  }
  say("wrong sequence", await failure(js.publish("s.a", "", { expect: { lastSequence: 9 } })));
  say("wrong subject sequence", await failure(js.publish("s.b", "", { expect: { lastSubjectSequence: 9 } })));
  say("wrong stream", await failure(js.publish("s.a", "", { expect: { streamName: "NONE" } })));
  say("wrong id", await failure(js.publish("s.a", "", { expect: { lastMsgID: "x" } })));
  say("no stream", await failure(js.publish("nobody", "", { retries: 1 })));
  const acks = await Promise.all(Array.from({ length: 1000 }, (_, i) => js.publish(`s.${i % 4}`, `${i}`)));
  say("concurrent", acks.every((ack, i) => ack.seq === i + 3));
  const message = await jsm.streams.getMessage("S", { seq: 2 });
  say("get", message.subject, message.seq, message.string(), message.header.get("Nats-Msg-Id"));
  say("last", (await jsm.streams.getMessage("S", { last_by_subj: "s.3" })).string());
  say("get missing", await failure(jsm.streams.getMessage("S", { seq: 5000 })));
  say("delete", await jsm.streams.deleteMessage("S", 5), await failure(jsm.streams.deleteMessage("S", 5)));
  say("purge subject", await jsm.streams.purge("S", { filter: "s.1", keep: 2 }));
  say("purge", await jsm.streams.purge("S", { seq: 900 }));
  say("state", state((await jsm.streams.info("S", { subjects_filter: ">", deleted_details: false })).state));
  say("update", config((await jsm.streams.update("S", { max_msgs: 10, description: "less", allow_direct: true })).config));
  say("direct", (await jsm.direct.getMessage("S", { last_by_subj: "s.2" })).string(),
    (await jsm.direct.getMessage("S", { next_by_subj: "s.2", seq: 1 })).seq);
  say("direct missing", await failure(jsm.direct.getMessage("S", { seq: 1 })));
  const names = [];
  for await (const name of jsm.streams.names()) names.push(name);
  say("names", names, await jsm.streams.find("s.x"));
  const account = await jsm.getAccountInfo();
  say("account", account.streams, account.consumers);
  say("remove", await jsm.streams.delete("S"), await failure(jsm.streams.delete("S")));
}

async function consumers(nc) {
  const jsm = await jetstreamManager(nc);
  const js = jetstream(nc);
  await jsm.streams.add({ name: "C", subjects: ["c.*"] });
  for (let i = 0; i < 20; i++) await js.publish(["c.even", "c.odd"][i % 2], `${i}`);
  const info = await jsm.consumers.add("C", { durable_name: "d", ack_policy: AckPolicy.Explicit, max_ack_pending: 5 });
  say("created", config(info.config), info.num_pending);
  const c = await js.consumers.get("C", "d");
  const batch = [];
  for await (const m of await c.fetch({ max_messages: 5, expires: 1000 })) batch.push(m);
  batch.forEach((m) => say("fetched", show(m)));
  batch[2].nak();
  const again = await c.next({ expires: 1000 });
  say("nak comes back", show(again), await again.ackAck());
  batch[0].ack();
  batch[1].term("no good");
  batch[3].working();
  say("acks", await batch[3].ackAck(), await batch[4].ackAck());
  const { delivered, ack_floor, num_ack_pending } = await c.info();
  say("standing", delivered.stream_seq, ack_floor.stream_seq, ack_floor.consumer_seq, num_ack_pending);
  const read = async (messages, count) => {
    const got = [];
    for await (const m of messages) {
      m.ack();
      got.push(m.string());
      if (got.length === count) break;
    }
    await messages.close();
    return got.join(" ");
  };
  say("consume", await read(await c.consume({ max_messages: 4 }), 15));
  say("nothing left", await c.next({ expires: 1000 }));
  say("ordered", await read(await (await js.consumers.get("C")).consume({ max_messages: 6 }), 20));
  say("ordered filter", await read(await (await js.consumers.get("C", { filter_subjects: ["c.odd"] })).consume(), 10));
  for (const options of [{ deliver_policy: DeliverPolicy.Last }, { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: 19 },
    { deliver_policy: DeliverPolicy.LastPerSubject, filter_subject: "c.>" }, { filter_subjects: ["c.odd", "c.even"] }]) {
    const made = await jsm.consumers.add("C", { name: "one", ack_policy: AckPolicy.None, ...options });
    say("from", options, made.num_pending, await read(await (await js.consumers.get("C", "one")).consume(), made.num_pending));
    await jsm.consumers.delete("C", "one");
  }
  say("refused", await failure(jsm.consumers.add("C", { durable_name: "e", filter_subjects: ["c.*", "c.odd"] })));
  say("missing", await failure(js.consumers.get("C", "none")));
  await jsm.consumers.add("C", { durable_name: "push", deliver_subject: "to", ack_policy: AckPolicy.Explicit,
    idle_heartbeat: nanos(1000), flow_control: true });
  say("push", await read(await (await js.consumers.getPushConsumer("C", "push")).consume(), 20));
  say("ordered push", await read(await (await js.consumers.getPushConsumer("C")).consume(), 20));
  const listed = [];
  for await (const one of jsm.consumers.list("C")) if (one.config.durable_name) listed.push(one.name);
  say("listed", listed.sort());
  await jsm.streams.delete("C");
  const work = await jsm.streams.add({ name: "W", subjects: ["w"], retention: RetentionPolicy.Workqueue });
  await jsm.consumers.add("W", { durable_name: "d", ack_policy: AckPolicy.Explicit });
  await js.publish("w", "job");
  await (await (await js.consumers.get("W", "d")).next({ expires: 1000 })).ackAck();
  say("work queue", work.config.retention, (await jsm.streams.info("W")).state.messages);
  await jsm.streams.delete("W");
}

async function keyvalue(nc) {
  const kvm = new Kvm(nc);
  const kv = await kvm.create("BOX", { history: 3 });
  const entry = (e) => e === null ? "nothing" : [e.key, e.string(), e.revision, e.operation, e.delta].join(" ");
  say("put", await kv.put("a", "1"), await kv.put("a", "2"), await kv.put("b.c", "3"));
  say("get", entry(await kv.get("a")), entry(await kv.get("none")), entry(await kv.get("a", { revision: 1 })));
  say("create", await kv.create("new", "n"), await failure(kv.create("new", "n")));
  say("update", await kv.update("new", "u", 4), await failure(kv.update("new", "u", 4)));
  await kv.delete("a");
  say("deleted", entry(await kv.get("a")), await kv.create("a", "again"));
  const list = async (iterator, count) => {
    const got = [];
    if (count === 0) return got;
    for await (const e of iterator) {
      got.push(typeof e === "string" ? e : entry(e));
      if (got.length === count) break;
    }
    return got;
  };
  say("history", await list(await kv.history({ key: "a" })));
  say("keys", (await list(await kv.keys())).sort(), await list(await kv.keys("b.*")));
  // What is there is read before anything is put: a put in between would count as part of the present.
  const watch = (await kv.watch())[Symbol.asyncIterator]();
  const next = async (count) => {
    const got = [];
    while (got.length < count) got.push(entry((await watch.next()).value));
    return got;
  };
  say("watch", await next(3));
  await kv.put("live", "x");
  await kv.delete("live");
  say("watch", await next(2));
  await watch.return();
  say("watch history", await list(await kv.watch({ key: "new", include: "history" }), 2));
  await kv.purge("a");
  say("purged", await list(await kv.history({ key: "a" })));
  const status = await kv.status();
  say("status", status.bucket, status.values, status.history, status.ttl, status.size, config(status.streamInfo.config));
  const names = [];
  for await (const s of kvm.list()) names.push(s.bucket);
  say("buckets", names);
  say("destroy", await kv.destroy(), await failure(kvm.open("BOX").then((b) => b.status())));
}

async function objects(nc) {
  const objm = new Objm(nc);
  const store = await objm.create("THINGS", { description: "things" });
  const body = new Uint8Array(300 * 1024).map((_, i) => (i * 7) / 3);
  const object = ({ name, size, chunks, digest, deleted }) => ({ name, size, chunks, digest, deleted });
  say("put", object(await store.putBlob({ name: "big one", description: "300 KiB" }, body)));
  say("put small", object(await store.putBlob({ name: "small" }, new TextEncoder().encode("hello"))));
  const back = await store.getBlob("big one");
  say("get", Buffer.from(back).equals(Buffer.from(body)), new TextDecoder().decode(await store.getBlob("small")));
  say("missing", await store.getBlob("none"), await store.info("none"));
  say("link", object(await store.link("shortcut", await store.info("small"))),
    new TextDecoder().decode(await store.getBlob("shortcut")));
  say("list", (await store.list()).map((o) => o.name).sort());
  say("delete", await store.delete("big one"), object(await store.info("big one")));
  const status = await store.status();
  say("status", status.bucket, status.size, status.sealed, config(status.streamInfo.config));
  say("seal", (await store.seal()).sealed);
  const names = [];
  for await (const s of objm.list()) names.push(s.bucket);
  say("stores", names);
  say("destroy", await store.destroy());
}

// In place of a URL: the parts that take a file of logins.
function casesOf(path) {
  return parseCases(readFileSync(path, "utf8")).map((one) => ({ ...one,
    ...(one.seedfile ? { seed: readFileSync(one.seedfile, "utf8").trim() } : {}),
    ...(one.creds ? { credsText: readFileSync(one.creds, "utf8") } : {}) }));
}

const filed = {
  logins: (path) => logins(connect, casesOf(path), say),
  reconnect: (path) => reconnect(connect, casesOf(path)[0], say),
};
if (process.argv[2] in filed) {
  await filed[process.argv[2]](process.argv[3]);
  process.exit(0);
}

// Copies and links come up by themselves: repeats a call until it gives something true.
async function eventually(what, call) {
  for (let i = 0; i < 2000; i++) {
    const got = await call().catch(() => undefined);
    if (got) return got;
    await sleep(10);
  }
  throw new Error(`never: ${what}`);
}

// A bucket of the domain "hub" mirrored here, read and written through the mirror; and a bucket with sources.
async function mirrors(nc) {
  const external = { api: "$JS.hub.API" };
  const entry = (e) => e === null ? "nothing" : [e.key, e.string(), e.revision, e.operation].join(" ");
  const list = async (iterator, count) => {
    const got = [];
    for await (const e of iterator) {
      got.push(typeof e === "string" ? e : entry(e));
      if (got.length === count) break;
    }
    return got;
  };
  const hub = new Kvm(jetstream(nc, { domain: "hub", timeout: 1000 }));
  const origin = await eventually("the bucket in the hub", () => hub.create("ORIGIN", { history: 3 }));
  for (const [key, value] of [["a", "1"], ["a", "2"], ["b.c", "3"]]) await origin.put(key, value);
  const kvm = new Kvm(nc);
  const copy = await kvm.create("COPY", { history: 3, mirror: { name: "ORIGIN", external } });
  const holds = (kv, key, value) => eventually(`${key} = ${value}`, async () => (await kv.get(key))?.string() === value);
  const gone = (kv, key) => eventually(`${key} gone`, async () => {
    const e = await kv.get(key);
    return e === null || e.operation !== "PUT";
  });
  await holds(copy, "b.c", "3");
  say("mirror", config((await copy.status()).streamInfo.config));
  say("get", entry(await copy.get("a")), entry(await copy.get("none")), entry(await copy.get("a", { revision: 1 })));
  say("put", await copy.put("d", "through"), entry(await origin.get("d")));
  await holds(copy, "d", "through");
  say("create", await copy.create("e", "new"), await failure(copy.create("e", "new")));
  say("update", await copy.update("e", "newer", 5), await failure(copy.update("e", "newer", 5)));
  await holds(copy, "e", "newer");
  await copy.delete("d");
  await gone(copy, "d");
  await copy.purge("b.c");
  await gone(copy, "b.c");
  say("deleted", entry(await origin.get("d")), entry(await origin.get("b.c")));
  say("history", await list(await copy.history({ key: "a" })));
  say("keys", (await list(await copy.keys())).sort());
  const watched = list(await copy.watch({ key: "live.*" }), 1);
  await origin.put("live.x", "now");
  say("watch", await watched);
  const near = await kvm.create("NEAR");
  const far = await hub.create("FAR");
  await near.put("n.1", "near");
  await far.put("f.1", "far");
  const both = await kvm.create("BOTH", { sources: [{ name: "NEAR" },
    { name: "FAR", external, subject_transforms: [{ src: "$KV.FAR.>", dest: "$KV.BOTH.>" }] }] });
  await holds(both, "n.1", "near");
  await holds(both, "f.1", "far");
  await both.put("own", "own");
  await near.delete("n.1");
  await gone(both, "n.1");
  say("keys of both", (await list(await both.keys())).sort(), entry(await near.get("own")));
}

const parts = { core, streams, consumers, keyvalue, objects, mirrors };
const [url, ...wanted] = process.argv.slice(2);
if (!url || wanted.length === 0 || wanted.some((name) => !(name in parts))) {
  console.error(`usage: clients.mjs URL PART...; parts: ${Object.keys(parts).join(" ")}`);
  process.exit(2);
}
for (const name of wanted) {
  const nc = await connect({ servers: url, timeout: 5000 });
  await parts[name](nc);
  await nc.close();
}
