// Opens each address in turn with an empty cache, in a new profile and in an open tab. Prints for each run and
// address: first paint, week in the DOM, week painted; in milliseconds since the navigation started.
import { launch } from "../tests/web/chromium.mjs";

const [pairs, ...addresses] = process.argv.slice(2);
const browser = await launch();

/** Records when the first task is in the DOM, and when its name, by then the largest text, is painted. */
function watch() {
  const shown = new MutationObserver(() => {
    if (!document.querySelector("article")) return;
    shown.disconnect();
    globalThis.weekThere = performance.now();
  });
  shown.observe(document, { childList: true, subtree: true });
  const painted = new PerformanceObserver((list) => {
    const name = list.getEntries().find((it) => it.element?.closest("article"));
    globalThis.weekPainted ??= name?.startTime;
  });
  painted.observe({ type: "largest-contentful-paint", buffered: true });
}

/** The figures of one visit in `page`. */
async function visit(page, address) {
  await page.goto(`http://${address}/`);
  await page.waitForFunction(
    () => globalThis.weekPainted && performance.getEntriesByName("first-contentful-paint").length,
  );
  return page.evaluate(() => {
    const painted = performance.getEntriesByName("first-contentful-paint")[0].startTime;
    return [painted, globalThis.weekThere, globalThis.weekPainted];
  });
}

async function tab() {
  const context = await browser.newContext({ locale: "de-DE" });
  const page = await context.newPage();
  await page.addInitScript(watch);
  return page;
}

/** Visits with a new profile, for which the browser starts a process. */
async function inNewProfile(address) {
  const page = await tab();
  const figures = await visit(page, address);
  await page.context().close();
  return figures;
}

/** Visits in an open tab, with the origin's storage and the browser cache cleared. */
async function inOpenTab(page, address) {
  const browsing = await page.context().newCDPSession(page);
  await page.goto("about:blank");
  await browsing.send("Storage.clearDataForOrigin", { origin: `http://${address}`, storageTypes: "all" });
  await browsing.send("Network.clearBrowserCache");
  await browsing.detach();
  return visit(page, address);
}

const runs = { "in a new profile": [], "in an open tab": [] };
for (const address of addresses) await inNewProfile(address);
for (let run = 0; run < Number(pairs); run += 1) {
  const pair = [];
  for (const address of addresses) pair.push(await inNewProfile(address));
  runs["in a new profile"].push(pair);
}
const tabs = [];
for (const address of addresses) {
  tabs.push(await tab());
  await visit(tabs.at(-1), address);
}
for (let run = 0; run < Number(pairs); run += 1) {
  const pair = [];
  for (const [at, address] of addresses.entries()) pair.push(await inOpenTab(tabs[at], address));
  runs["in an open tab"].push(pair);
}
await browser.close();
console.log(JSON.stringify(runs));
