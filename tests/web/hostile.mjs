// Everything from files stays text, in every view. The files are in tests/system/web/hostile.rs.
import assert from "node:assert/strict";
import { complete, readyToBeOffline, dialogOf, dismissAll, openEdit, said, tap } from "./steps.mjs";
import { api, isSound, picture, scenario, visit } from "./support.mjs";

// Elements that no view may contain, inside or outside of the rendered text.
const NEVER =
  "script:not([type=module][src^='/assets/']), iframe, object, embed, svg, math, img, style, form[action], [onerror], [onload], [onclick], [onmouseover], a[href^='javascript'], a[href^='data']";

await scenario("hostile", async ({ browser, urls: [url] }) => {
  const page = await visit(browser, url);
  await nothingRan(page, "the week");
  await theWeekShowsText(page);
  await theTask(page);
  await theUnreadableFile(page);
  await theSearch(page, url);
  await theForm(page, url);
  await theLine(page);
  await theMessages(page);
  await theConflict(page, url);
  await theAddress(page, url);
  await theKeptWeek(page, url);
  await thePolicyHolds(page, url);
  await thePrintablePage(page, url);
});

async function nothingRan(page, what) {
  assert.equal(await page.evaluate(() => globalThis.ran), undefined, `${what}: something ran`);
  const found = await page.evaluate((never) => [...document.querySelectorAll(never)].map((it) => it.outerHTML), NEVER);
  assert.deepEqual(found, [], what);
}

/** The task with markup in its title: the service reads a title as text, without its markup or with it. */
async function theWeekShowsText(page) {
  await page.getByRole("link", { name: "<img src=x onerror=globalThis.ran='name'>" }).waitFor();
  await page.getByRole("button", { name: 'Tag <svg onload="globalThis.ran=1">: alle Aufgaben damit' }).waitFor();
  await page.getByText('"><script>globalThis.ran=2</script>').waitFor();
  const unreadable = page.getByRole("region", { name: "Nicht lesbar" });
  await unreadable.getByText("0004-<b onmouseover=globalThis.ran='bad'>").waitFor();
  await unreadable.getByText("<img src=x onerror=globalThis.ran='odd'>").waitFor();
  await isSound(page, "a hostile week");
  await picture(page, "hostile");
}

function first(page) {
  return page.getByRole("article").filter({ hasText: "0001" }).getByRole("link");
}

async function theTask(page) {
  await first(page).click();
  await dialogOf(page).getByText("böse").waitFor();
  await nothingRan(page, "the task");
  const links = await dialogOf(page)
    .locator(".prose a")
    .evaluateAll((all) => all.map((it) => it.getAttribute("href")));
  assert.deepEqual(links.filter(Boolean), [], "none of its links leads anywhere");
  await tap(page, "Schließen");
  await dialogOf(page).waitFor({ state: "hidden" });
}

async function theUnreadableFile(page) {
  await page.getByRole("link", { name: "0004-<b" }).click();
  await dialogOf(page).getByText("kategorie: <script>globalThis.ran='kategorie'</script>").waitFor();
  await nothingRan(page, "a file that can't be read");
  await tap(page, "Schließen");
  await dialogOf(page).waitFor({ state: "hidden" });
}

async function theSearch(page, url) {
  await page.getByRole("searchbox").fill("<img src=x onerror=globalThis.ran='q'>");
  await page.getByText("0 Aufgaben").waitFor();
  await nothingRan(page, "what is looked for");
  await page.goto(`${url}#/?tag=${encodeURIComponent('<svg onload="globalThis.ran=1">')}&status=alle`);
  await page.getByText("1 Aufgabe", { exact: true }).waitFor();
  await page.getByRole("button", { name: 'Tag <svg onload="globalThis.ran=1"> nicht mehr filtern' }).waitFor();
  await nothingRan(page, "what is found");
  await page.goto(`${url}#/`);
}

async function theForm(page, url) {
  await first(page).click();
  await dialogOf(page).getByRole("link", { name: "Bearbeiten" }).click();
  await dialogOf(page).getByLabel("Text", { exact: true }).waitFor();
  await nothingRan(page, "the form");
  await tap(page, "Vorschau");
  await dialogOf(page).locator("#previewed").getByText("böse").waitFor();
  await nothingRan(page, "the preview");
  await tap(page, "Verwerfen");
  await page.goto(`${url}#/`);
}

async function theLine(page) {
  const line = page.getByRole("textbox", { name: "Schnell anlegen" });
  await line.fill("<img src=x onerror=globalThis.ran='line'> #<svg/onload=globalThis.ran=7>");
  await page.getByRole("button", { name: "#<svg/onload=globalThis.ran=7>" }).waitFor();
  await nothingRan(page, "quick add");
  await line.fill("");
}

async function theMessages(page) {
  const title = "<img src=x onerror=globalThis.ran='name'>";
  await complete(page, title);
  await said(page, `„${title}“ ist erledigt.`);
  await nothingRan(page, "a message");
  await tap(page, "Rückgängig");
  await said(page, `„${title}“ ist wieder offen.`);
  await page.getByRole("link", { name: title }).waitFor();
  await dismissAll(page);
}

async function theConflict(page, url) {
  const title = "<img src=x onerror=globalThis.ran='name'>";
  await openEdit(page, title);
  await dialogOf(page).getByLabel("Text", { exact: true }).fill("<script>globalThis.ran='mine'</script>");
  const stem = encodeURIComponent(`0002-${title}`);
  const { status } = await api(url, "PATCH", `/api/tasks/${stem}`, {
    tags: ["<script>globalThis.ran='theirs'</script>"],
    body: "<img src=x onerror=globalThis.ran='body'>",
  });
  assert.equal(status, 200);
  await tap(page, "Speichern");
  await dialogOf(page).getByRole("heading", { name: "Inzwischen geändert" }).waitFor();
  await nothingRan(page, "a conflict");
  await tap(page, "Andere übernehmen");
  await dialogOf(page).getByText("<script>globalThis.ran='theirs'</script>").waitFor();
  await nothingRan(page, "what was taken over");
}

async function theAddress(page, url) {
  for (const place of [
    "#/task/<img src=x onerror=globalThis.ran=5>",
    "#/task/%3Cscript%3EglobalThis.ran=6%3C%2Fscript%3E",
    "#/edit/..%2F..%2Fadmin",
    "#/task/%",
    "#/new?datum=<b>&zeit=toString",
    "#/__proto__/x",
  ]) {
    await page.goto("about:blank");
    await page.goto(`${url}${place}`);
    await page.getByRole("article").first().waitFor();
    await nothingRan(page, place);
  }
}

async function theKeptWeek(page, url) {
  await page.goto(`${url}#/`);
  await readyToBeOffline(page, "local");
  await page.context().setOffline(true);
  await page.reload();
  await page.getByText(/^Offline\./).waitFor();
  await nothingRan(page, "the kept week");
  await page.context().setOffline(false);
}

/** Even markup that got into the page would have no effect. */
async function thePolicyHolds(page, url) {
  const other = await (await page.context().browser().newContext()).newPage();
  await other.goto(url);
  await other.getByRole("article").first().waitFor();
  const refused = await other.evaluate(async () => {
    const seen = [];
    document.addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
    const add = (tag, properties) => document.body.append(Object.assign(document.createElement(tag), properties));
    const attempts = {
      markup: () => document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=\"globalThis.ran='html'\">"),
      handler: () => document.body.setAttribute("onclick", "globalThis.ran = 'inline'"),
    };
    for (const [name, attempt] of Object.entries(attempts)) {
      try {
        attempt();
      } catch {
        seen.push(name);
      }
    }
    add("style", { textContent: "body { display: none }" });
    add("img", { src: "https://evil.example/pixel.png" });
    await fetch("https://evil.example/").catch(() => {});
    document.body.click();
    await new Promise((resolve) => setTimeout(resolve, 300));
    return { seen: [...new Set(seen)].sort(), ran: globalThis.ran };
  });
  assert.equal(refused.ran, undefined);
  for (const directive of ["connect-src", "handler", "img-src", "markup", "style-src-elem"])
    assert.ok(refused.seen.includes(directive), `${directive}: ${refused.seen}`);
  await other.context().close();
}

async function thePrintablePage(page, url) {
  await page.goto(`${url}codex?format=html&bodies=true`);
  assert.equal(await page.evaluate(() => globalThis.ran), undefined);
  const never = NEVER.replace("script:not([type=module][src^='/assets/'])", "script").replace("style, ", "");
  assert.deepEqual(
    await page.evaluate((it) => [...document.querySelectorAll(it)].map((node) => node.outerHTML), never),
    [],
  );
  await page.getByText("<img src=x onerror=globalThis.ran='odd'>").waitFor();
}
