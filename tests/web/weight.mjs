// The cost of a visit: requests until the first paint, bytes in total, and the requests of a second visit.
import assert from "node:assert/strict";
import { person, scenario } from "./support.mjs";

const LIMIT = 60_000; // In compressed bytes.

await scenario("weight", async ({ browser, urls: [url] }) => {
  // The worker would fetch the files again, invisibly to the page's request events.
  const context = await person(browser, { serviceWorkers: "block" });
  const page = await context.newPage();
  const { blocking, weight, files } = await visitOf(page, url);
  console.log(`until the first paint ${blocking} requests; ${weight} bytes in all: ${files.join(", ")}`);
  assert.ok(blocking <= 3, `${blocking} requests`);
  assert.ok(weight < LIMIT, `${weight} bytes`);
  await page.goto("about:blank");
  const again = await visitOf(page, url);
  assert.deepEqual(
    again.files.filter((it) => it.startsWith("/assets/")),
    [],
    "kept for ever",
  );
});

/** Opens the page, and counts the bytes transferred. */
async function visitOf(page, url) {
  const finished = [];
  const note = (request) => finished.push(request);
  page.on("requestfinished", note);
  await page.goto(url);
  await page.getByRole("article").first().waitFor();
  await page.waitForLoadState("networkidle");
  page.off("requestfinished", note);
  let weight = 0;
  const files = [];
  for (const request of finished) {
    const { pathname } = new URL(request.url());
    const { responseBodySize } = await request.sizes();
    const ofApp = pathname === "/" || pathname.startsWith("/assets/");
    if (ofApp) weight += responseBodySize;
    if (ofApp && responseBodySize > 0) files.push(pathname);
  }
  // The requests that block the first paint: the page, its style sheets and its scripts.
  const blocking = 1 + (await page.locator("link[rel=stylesheet], script[src]").count());
  return { blocking, weight, files };
}
