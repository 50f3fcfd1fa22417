// How the page stays current: which requests it sends, and that it redraws only when there is something new.
import assert from "node:assert/strict";
import { make, shows, tap } from "./steps.mjs";
import { eventually, scenario, visit } from "./support.mjs";

await scenario("refresh", async ({ browser, urls: [url] }) => {
  const page = await visit(browser, url);
  const asked = listen(page);
  await page.evaluate(() => (globalThis.mark = document.querySelector("article")));
  const isSame = () => page.evaluate(() => globalThis.mark?.isConnected);
  await somebodyWhoLooksGetsStrictReads(asked);
  assert.ok(await isSame(), "a 304 draws nothing");
  await becomingVisibleAsks(page, asked);
  assert.ok(await isSame(), "a 304 draws nothing");
  await aChangeElsewhereComes(page, url, asked);
  await aChangeHereIsFollowedByARead(page, asked);
  assert.equal(await isSame(), false, "it was drawn anew, in the same page");
});

/** The requests for the week, with their answers, in order. */
function listen(page) {
  const asked = [];
  page.on("response", async (response) => {
    if (new URL(response.url()).pathname !== "/codex") return;
    const entry = {
      status: response.status(),
      sent: await response.request().allHeaders(),
      got: await response.allHeaders(),
    };
    asked.push(entry);
  });
  return asked;
}

async function next(asked, what) {
  const before = asked.length;
  await eventually(what, () => asked.length > before);
  return asked.at(-1);
}

async function somebodyWhoLooksGetsStrictReads(asked) {
  const first = await next(asked, "a look by itself");
  const second = await next(asked, "another");
  for (const { status, sent } of [first, second]) {
    assert.deepEqual([status, sent["cache-control"]], [304, "no-cache"]);
    assert.match(sent["if-none-match"], /^W\//);
  }
  assert.equal(second.sent["x-codex-version"], first.got["x-codex-version"], "the version it last got");
}

async function becomingVisibleAsks(page, asked) {
  const before = asked.length;
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  const { sent } = await eventually("a look when it is shown", () =>
    asked.slice(before).find((it) => it.sent["cache-control"] === "max-age=0"),
  );
  assert.ok(sent["if-none-match"]);
}

async function aChangeElsewhereComes(page, url, asked) {
  await make(url, "Von anderswo");
  await shows(page, "Von anderswo");
  const { got } = await eventually("the answer", () => asked.find((it) => it.status === 200));
  const { sent } = await next(asked, "the look after it");
  assert.deepEqual([sent["x-codex-version"], sent["if-none-match"]], [got["x-codex-version"], got.etag]);
}

async function aChangeHereIsFollowedByARead(page, asked) {
  const [done] = await Promise.all([page.waitForResponse("**/complete"), tap(page, "Erledigen: Von anderswo")]);
  const version = (await done.allHeaders())["x-codex-version"];
  const { got } = await eventually("a read that knows of it", () =>
    asked.find((it) => it.sent["x-codex-version"] === version),
  );
  assert.ok(Number(got["x-codex-version"]) >= Number(version));
}
