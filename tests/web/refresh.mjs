// How the page stays current: which requests it sends, and that it redraws only when there is something new.
import assert from "node:assert/strict";
import { complete, make, shows } from "./steps.mjs";
import { eventually, person, scenario, visit } from "./support.mjs";

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
  assert.ok(await isSame(), "what isn't touched by a change isn't drawn anew");
  await aChangeHereIsFollowedByARead(page, asked);
  assert.ok(await isSame(), "nor by one here");
  await aFailureIsDrawnOnce(browser, url);
});

/** Else a press on its button is lost, and screen readers say it again. */
async function aFailureIsDrawnOnce(browser, url) {
  const page = await (await person(browser)).newPage();
  const away = {
    status: 503,
    contentType: "application/json; charset=utf-8",
    body: JSON.stringify({ ok: false, code: "storage_unavailable", error: "…" }),
  };
  await page.route("**/codex", (route) => route.fulfill(away));
  const asked = listen(page);
  await page.goto(url);
  await page.getByRole("button", { name: "Noch einmal versuchen" }).waitFor();
  await page.evaluate(() => (globalThis.mark = document.querySelector("main button")));
  for (let look = 0; look < 2; look += 1) await next(asked, "it looks again");
  assert.ok(await page.evaluate(() => globalThis.mark.isConnected));
  await page.context().close();
}

/** The requests for the week, with their answers, in order. */
function listen(page) {
  const asked = [];
  page.on("response", async (response) => {
    if (new URL(response.url()).pathname !== "/codex") return;
    try {
      const [sent, got] = await Promise.all([response.request().allHeaders(), response.allHeaders()]);
      asked.push({ status: response.status(), sent, got });
    } catch {
      // The page is closed meanwhile.
    }
  });
  return asked;
}

async function next(asked, what) {
  const before = asked.length;
  await eventually(what, () => asked.length > before);
  return asked.at(-1);
}

/** About every third look is strict, the others are plain: a strict one may cost the storage a request. */
async function somebodyWhoLooksGetsStrictReads(asked) {
  const from = asked.length;
  const looks = () => asked.slice(from);
  const isStrict = ({ sent }) => sent["cache-control"] === "no-cache";
  await eventually("strict looks", () => looks().filter(isStrict).length >= 3);
  for (const look of looks()) {
    assert.deepEqual([look.status, isStrict(look) || look.sent["cache-control"]], [304, isStrict(look) || "max-age=0"]);
    assert.match(look.sent["if-none-match"], /^W\//);
  }
  const between = looks().map(isStrict).join(" ").split("true").slice(1, -1);
  for (const plain of between) assert.ok(plain.split("false").length - 1 <= 3, `${looks().map(isStrict)}`);
  const [first, second] = looks();
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
  const [done] = await Promise.all([page.waitForResponse("**/complete"), complete(page, "Von anderswo")]);
  const version = (await done.allHeaders())["x-codex-version"];
  const { got } = await eventually("a read that knows of it", () =>
    asked.find((it) => it.sent["x-codex-version"] === version),
  );
  assert.ok(Number(got["x-codex-version"]) >= Number(version));
}
