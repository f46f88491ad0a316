// node in_chromium.mjs CHROMIUM PROFILE OPTIONS: the exchange (or what options.run names) in a page.
import { createServer } from "node:http";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const [executablePath, profile, options] = process.argv.slice(2);
const bundle = await build({
  entryPoints: [new URL("page.mjs", import.meta.url).pathname], bundle: true, write: false, format: "iife", platform: "browser",
});
const script = `window.options = ${options};\n${bundle.outputFiles[0].text}`;
const server = createServer((request, response) => {
  const page = request.url === "/";
  response.writeHead(200, { "content-type": page ? "text/html" : "text/javascript" });
  response.end(page ? "<!doctype html><script src=script.js></script>" : script);
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath, headless: true, ignoreHTTPSErrors: true, timeout: 120_000,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--ignore-certificate-errors",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const page = await browser.newPage();
  await page.exposeFunction("say", (line) => console.log(line));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => window.result !== undefined, undefined, { timeout: 120_000 });
  const { seen, error } = await page.evaluate(() => window.result);
  if (error) throw new Error(error);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
  server.close();
}
