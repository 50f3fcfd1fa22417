// A real Chromium for the scenarios in this folder. tests/system/web.rs starts the service and runs them:
// `node tests/web/SCENARIO.mjs ADDRESS…`.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { launch } from "./chromium.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("../node_modules/axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** Reached only by hangs: no step takes this long (ms), even on a busy machine. */
const PATIENCE = 90_000;

export const SIZES = {
  device: { viewport: { width: 240, height: 282 } },
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
  desktop: { viewport: { width: 1280, height: 900 } },
};
export const LOCALES = { de: "de-DE", en: "en-US" };

const pictures = process.env.WEB_PICTURES ?? "target/tmp/web";
mkdirSync(pictures, { recursive: true });

const faults = [];
const pages = new Set();

/**
 * Plays a scenario: `play({browser, urls})`, with the service's addresses as URLs that end in `/`. It fails on
 * anything that a page must never do, such as logging an error, and then saves screenshots.
 */
export async function scenario(name, play) {
  const browser = await launch();
  const urls = process.argv.slice(2).map((address) => `http://${address}/`);
  try {
    await play({ browser, urls });
    assert.deepEqual(faults, [], "nothing that a page must never do");
  } catch (error) {
    let number = 0;
    for (const page of pages)
      await page.screenshot({ path: `${pictures}/failed-${name}-${(number += 1)}.png` }).catch(() => {});
    if (faults.length) console.error(faults.join("\n"));
    console.error(error);
    process.exitCode = 1;
  } finally {
    await browser.close();
    lines.close();
  }
}

/** A browser context of its own: no cookies, no cache, no stored data. */
export async function person(browser, { size = "desktop", lang = "de", ...options } = {}) {
  const context = await browser.newContext({
    ...SIZES[size],
    locale: LOCALES[lang],
    reducedMotion: "reduce",
    ...options,
  });
  context.setDefaultTimeout(PATIENCE);
  context.setDefaultNavigationTimeout(PATIENCE);
  context.on("page", watch);
  return context;
}

/** Opens the page in a browser context of its own, and waits for the week. */
export async function visit(browser, url, options) {
  const page = await (await person(browser, options)).newPage();
  await page.goto(url);
  await page.getByRole("article").first().waitFor();
  return page;
}

function watch(page) {
  pages.add(page);
  page.on("close", () => pages.delete(page));
  page.on("pageerror", (error) => faults.push(`error in the page: ${error.stack}`));
  page.on("dialog", (dialog) => {
    faults.push(`the page said: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (message) => {
    // The browser logs every refusal; the page reports it itself.
    const refused = message.text().startsWith("Failed to load resource");
    const withoutWorker = message.text() === "Service Worker registration blocked by Playwright";
    if (["error", "warning"].includes(message.type()) && !refused && !withoutWorker)
      faults.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    const { protocol, hostname } = new URL(request.url());
    const own = ["localhost", "127.0.0.1"].includes(hostname) || ["data:", "blob:"].includes(protocol);
    if (!own) faults.push(`it asked elsewhere: ${request.url()}`);
  });
}

/** axe finds no violations, and nothing requires horizontal scrolling. */
export async function isSound(page, what) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate((rules) => globalThis.axe.run(document, { runOnly: rules }), RULES);
  const found = violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html}\n${node.failureSummary}`).join("\n")}`,
  );
  assert.deepEqual(found, [], `axe: ${what}`);
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(over <= 0, `${what}: ${over} px too wide`);
}

export const picture = (page, name) => page.screenshot({ path: `${pictures}/${name}.png` });

/** Waits until `holds`, which may inspect a page, returns a truthy value. */
export async function eventually(what, holds) {
  const began = Date.now();
  for (;;) {
    const held = await holds();
    if (held) return held;
    if (Date.now() - began > PATIENCE) assert.fail(`${what}: not within ${PATIENCE} ms`);
    await new Promise((resume) => setTimeout(resume, 50));
  }
}

/** Calls the API without a browser, as another program would. */
export async function api(url, method, path, json, headers = {}) {
  const answer = await fetch(new URL(path, url), {
    method,
    headers: { ...(json && { "Content-Type": "application/json" }), ...headers },
    body: json && JSON.stringify(json),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, json: text.startsWith("{") ? JSON.parse(text) : text };
}

const lines = createInterface({ input: process.stdin });
const answers = lines[Symbol.asyncIterator]();

/** Has the Rust test do something outside the browser, and waits until it is done. */
export async function outside(what) {
  console.log(`> ${what}`);
  const { done, value } = await answers.next();
  assert.ok(!done, "the test is still there");
  return value;
}
