// Logins and a reconnect with nats.js, the same over TCP in node and over WebSocket in a page.
// `connect` is the transport's; a case is { label, url, user, password, token, seed, credsText, ... }.
import { credsAuthenticator, nkeyAuthenticator } from "@nats-io/nats-core";

const bytes = (text) => new TextEncoder().encode(text);

function options(one) {
  const all = { servers: [one.url], timeout: 20_000 };
  if (one.user) Object.assign(all, { user: one.user, pass: one.password });
  if (one.token) all.token = one.token;
  if (one.seed) all.authenticator = nkeyAuthenticator(bytes(one.seed));
  if (one.credsText) all.authenticator = credsAuthenticator(bytes(one.credsText));
  if (one.ca) all.tls = { caFile: one.ca, certFile: one.cert, keyFile: one.key, handshakeFirst: one.first !== undefined };
  return all;
}

async function whoAmI(nc) {
  const { data } = (await nc.request("$SYS.REQ.USER.INFO", "", { timeout: 20_000 })).json();
  return `${data.user} of ${data.account}`;
}

export async function logins(connect, cases, say) {
  for (const one of cases) {
    try {
      const nc = await connect({ ...options(one), reconnect: false });
      say(one.label, await whoAmI(nc));
      await nc.close();
    } catch (err) {
      // Of a TLS refusal the words depend on who notices first.
      if (one.refused === "tls") say(one.label, "refused");
      else say(one.label, err.constructor.name, err.code ?? "", err.message);
    }
  }
}

// The test kills the server and starts it again when it reads "disconnected".
export async function reconnect(connect, one, say) {
  const nc = await connect({ ...options(one), maxReconnectAttempts: -1, reconnectTimeWait: 50, reconnectJitter: 0,
    reconnectJitterTLS: 0 });
  const events = { disconnect: [], reconnect: [] };
  const once = (type) => new Promise((done) => events[type].push(done));
  const [gone, back] = [once("disconnect"), once("reconnect")];
  (async () => {
    for await (const status of nc.status()) events[status.type]?.shift()?.();
  })();
  const queues = {};
  const heard = (subject, more = {}) => {
    const got = [];
    const waiting = [];
    nc.subscribe(subject, { ...more, callback: (_, m) => {
      if (waiting.length) waiting.shift()(m.string());
      else got.push(m.string());
    } });
    queues[subject] = () => got.length ? got.shift() : new Promise((done) => waiting.push(done));
  };
  heard("still.*");
  heard("work", { queue: "crew" });
  heard("limited", { max: 3 });
  nc.subscribe("service", { callback: (_, m) => m.respond(`re ${m.string()}`) });
  const ask = async (what) => (await nc.request("service", what, { timeout: 20_000 })).string();
  nc.publish("limited", "1");
  say("before", await whoAmI(nc), await ask("ask"), await queues.limited());
  say("ready");
  await gone;
  say("disconnected");
  await back;
  nc.publish("still.here", "x");
  nc.publish("work", "y");
  for (const body of ["2", "3", "4"]) nc.publish("limited", body);
  say("again", await queues["still.*"](), await queues.work(), await ask("again"), await whoAmI(nc));
  say("limited", await queues.limited(), await queues.limited());
  await nc.flush();
  const more = await Promise.race([queues.limited(), new Promise((done) => setTimeout(() => done("no more"), 50))]);
  say("limited", more);
  await nc.drain();
}

// The cases' file as the other clients read it: a line each, a label and words of key=value.
export function parseCases(text) {
  return text.trim().split("\n").map((line) => {
    const [label, ...words] = line.trim().split(/\s+/);
    return { label, ...Object.fromEntries(words.map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)])) };
  });
}
