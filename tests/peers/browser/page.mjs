// In the page: runs what the options ask for and leaves the result where the test finds it.
import { wsconnect } from "@nats-io/nats-core";
import { exchange } from "./exchange.mjs";
import { logins, reconnect } from "./logins.mjs";

const say = (label, ...values) => window.say(`${label}: ${values.join(" | ")}`);
const wanted = {
  exchange: (options) => exchange(options),
  logins: ({ cases }) => logins(wsconnect, cases, say),
  reconnect: ({ cases }) => reconnect(wsconnect, cases[0], say),
};

wanted[window.options.run ?? "exchange"](window.options)
  .then((seen) => { window.result = { seen: seen ?? null }; })
  .catch((error) => { window.result = { error: String(error) }; });
