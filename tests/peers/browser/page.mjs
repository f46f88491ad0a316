// In the page: runs the exchange and leaves its result where the test finds it.
import { exchange } from "./exchange.mjs";

exchange(window.options)
  .then((seen) => { window.result = { seen }; })
  .catch((error) => { window.result = { error: String(error) }; });
