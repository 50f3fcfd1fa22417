// Opens each address in turn with an empty cache. Prints, a pair a run: first paint, the week shown (both in
// milliseconds since the navigation began), and the requests that were finished before the first paint.
import { launch } from "../tests/web/chromium.mjs";

const [pairs, ...addresses] = process.argv.slice(2);
const browser = await launch();

/** When the first task was there, and had been painted. */
function watch() {
  const shown = new MutationObserver(() => {
    if (!document.querySelector("article")) return;
    shown.disconnect();
    requestAnimationFrame(() => setTimeout(() => (globalThis.weekShown = performance.now())));
  });
  shown.observe(document, { childList: true, subtree: true });
}

async function open(address) {
  const context = await browser.newContext({ locale: "de-DE" });
  const page = await context.newPage();
  await page.addInitScript(watch);
  await page.goto(`http://${address}/`);
  await page.waitForFunction(
    () => globalThis.weekShown && performance.getEntriesByName("first-contentful-paint").length,
  );
  const figures = await page.evaluate(() => {
    const painted = performance.getEntriesByName("first-contentful-paint")[0].startTime;
    const before = performance.getEntriesByType("resource").filter((it) => it.responseEnd <= painted).length;
    return [painted, globalThis.weekShown, before + 1];
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
