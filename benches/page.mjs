// Opens each address in turn with an empty cache. Prints, a pair a run: first paint, the week in the page, the week
// painted; milliseconds since the navigation began.
import { launch } from "../tests/web/chromium.mjs";

const [pairs, ...addresses] = process.argv.slice(2);
const browser = await launch();

/** When the first task was there, and when its name was painted: it is the largest text by then. */
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

async function open(address) {
  const context = await browser.newContext({ locale: "de-DE" });
  const page = await context.newPage();
  await page.addInitScript(watch);
  await page.goto(`http://${address}/`);
  await page.waitForFunction(
    () => globalThis.weekPainted && performance.getEntriesByName("first-contentful-paint").length,
  );
  const figures = await page.evaluate(() => {
    const painted = performance.getEntriesByName("first-contentful-paint")[0].startTime;
    return [painted, globalThis.weekThere, globalThis.weekPainted];
  });
  await context.close();
  return figures;
}

for (const address of addresses) await open(address);
const runs = [];
for (let run = 0; run < Number(pairs); run += 1) {
  const pair = [];
  for (const address of addresses) pair.push(await open(address));
  runs.push(pair);
}
await browser.close();
console.log(JSON.stringify(runs));
