// node in_node.mjs OPTIONS: the exchange over node's WebSocket.
import WebSocket from "ws";
import { exchange } from "./exchange.mjs";

globalThis.WebSocket = WebSocket;
const seen = await exchange(JSON.parse(process.argv[2]));
console.log(JSON.stringify(seen));
process.exit(0);
