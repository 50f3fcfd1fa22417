// Without a connection, or without the service: the last week stays and is marked as such, and nothing is sent later.
import assert from "node:assert/strict";
import { dismissAll, readyToBeOffline, task, titled, warned } from "./steps.mjs";
import { api, isSound, outside, picture, scenario, visit } from "./support.mjs";

const STEM = "0014-Rechnungen-freigeben";

await scenario("offline", async ({ browser, urls: [url] }) => {
  const page = await visit(browser, url);
  await readyToBeOffline(page, "local");
  await withoutAConnection(page, url);
  await backAgain(page, url);
  await whatPassesMeanwhileIsMarked(page, url);
  await aPlatformsErrorInThePagesPlace(page, url);
  await withoutTheService(page, url);
});

async function isReadable(page) {
  await page.getByText(/^Offline\. Zu sehen ist die Woche vom /).waitFor();
  await page.getByRole("link", { name: "Rechnungen freigeben" }).waitFor();
  await page.locator("#as-of", { hasText: /auf diesem Gerät aufgehoben$/ }).waitFor();
}

async function withoutAConnection(page, url) {
  await page.context().setOffline(true);
  await page.reload();
  await isReadable(page);
  await isSound(page, "the kept week");
  await picture(page, "offline");
  await page.locator("#as-of").click();
  await warned(page, "Der Dienst ist nicht erreichbar.");
  await dismissAll(page);
  const sent = [];
  page.on("request", (request) => request.method() !== "GET" && sent.push(request.url()));
  const done = page.getByRole("button", { name: "Erledigen: Rechnungen freigeben" });
  assert.equal(await done.getAttribute("aria-disabled"), "true");
  await done.click({ force: true });
  await warned(page, "Dafür braucht es eine Verbindung zum Dienst.");
  await page.getByRole("link", { name: "Neue Aufgabe", exact: true }).click();
  await page.getByRole("dialog").getByLabel("Titel").fill("Aus dem Funkloch");
  await page.getByRole("button", { name: "Speichern" }).click();
  await page.locator("#alerts .toast").nth(1).waitFor();
  assert.deepEqual(sent, []);
  assert.equal((await task(url, STEM)).status, "offen");
}

/** The form is still open, with the typed text; nothing was sent automatically. */
async function backAgain(page, url) {
  await page.context().setOffline(false);
  await page.getByText(/^Offline\./).waitFor({ state: "detached" });
  assert.deepEqual([(await task(url, STEM)).status, (await titled(url, "Aus dem Funkloch")).length], ["offen", 0]);
  await page.getByRole("button", { name: "Speichern" }).click();
  await page.getByText("„Aus dem Funkloch“ ist angelegt.").waitFor();
  assert.equal((await titled(url, "Aus dem Funkloch")).length, 1);
}

/** A cached week whose first day is yesterday. */
async function whatPassesMeanwhileIsMarked(page, url) {
  const { json: week } = await api(url, "GET", "/codex");
  // The page keeps the week after its last change, too, and must have done so before an older one is put in its place.
  await page.waitForFunction(async (version) => {
    const kept = await (await caches.open("week of local")).match("/codex");
    return kept && (await kept.json()).version === version;
  }, week.version);
  const [day, month, year] = week.weekStart.split(".").map(Number);
  const yesterday = new Date(Date.UTC(year, month - 1, day - 1))
    .toISOString()
    .slice(0, 10)
    .split("-")
    .reverse()
    .join(".");
  week.timeline[0].datum = yesterday;
  week.weekStart = yesterday;
  week.validUntil = new Date(Date.now() - 3_600_000).toISOString();
  await page.context().setOffline(true);
  await page.evaluate(async (kept) => {
    const cache = await caches.open("week of local");
    await cache.put("/codex", new Response(JSON.stringify(kept)));
  }, week);
  await page.reload();
  await isReadable(page);
  const first = page.getByRole("region", { name: "Woche" }).getByRole("region").first();
  const slots = await first.locator("li").allInnerTexts();
  assert.ok(slots.length > 0 && slots.every((it) => it.includes("vorbei")), slots.join());
  assert.equal(await first.getAttribute("aria-current"), null);
  await page.context().setOffline(false);
}

async function aPlatformsErrorInThePagesPlace(page, url) {
  // A test can't intercept between the worker and the service: the context's routes also get the worker's requests.
  await page
    .context()
    .route(
      url,
      (route) => route.fulfill({ status: 503, contentType: "text/html", body: "Function host is not running." }),
      { times: 1 },
    );
  await page.goto("about:blank");
  await page.goto(url);
  await page.getByRole("link", { name: "Rechnungen freigeben" }).waitFor();
}

async function withoutTheService(page) {
  await outside("kill the service");
  await page.reload();
  await isReadable(page);
  await page.getByRole("link", { name: "Rechnungen freigeben" }).click();
  await warned(page, "Der Dienst ist nicht erreichbar.");
}
