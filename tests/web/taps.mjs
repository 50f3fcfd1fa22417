// Two taps on one spot: never two tasks, whatever moves in between, and the completed card stays for a while.
import assert from "node:assert/strict";
import { calm, dismissAll, make, task } from "./steps.mjs";
import { api, eventually, isSound, picture, scenario, visit } from "./support.mjs";

const TRIES = 50;
const MANY = 160;
const GAPS = [150, 250, 400, 600]; // ms between the two taps.
const BETWEEN = ["nothing", "a refresh", "a change elsewhere"];
const STAYS = 2_500; // A completed card stays for about 3 s.
const OPEN = ".week .check:not([aria-disabled])";

await scenario("taps", async ({ browser, urls }) => {
  for (const url of urls)
    for (let number = 0; number < TRIES; number += 1)
      await make(url, `Stapel ${number}`, { fixedSlot: null, kategorie: "arbeit" });
  const mouse = await visit(browser, urls[0], { reducedMotion: "no-preference" });
  await aCompletedCardStaysAndTheRestDoesToo(mouse, urls[0]);
  await undoIsInPlace(mouse, urls[0]);
  const touch = await visit(browser, urls[1], { size: "phone" });
  // Side by side, each at a service of its own.
  const devices = [
    { page: mouse, url: urls[0], tap: (x, y) => mouse.mouse.click(x, y) },
    { page: touch, url: urls[1], tap: (x, y) => touch.touchscreen.tap(x, y) },
  ];
  await Promise.all(
    devices.map(async (device) => {
      for (let number = 0; number < TRIES / 2; number += 1) await twoTaps(device, number);
    }),
  );
  console.log(`${TRIES} times two taps on one spot: one request and one task each`);
  await threeInARow(devices[0]);
  await aPressOutlivesARedraw(mouse, urls[0]);
  for (const device of devices) await aTapJustAfterAChangeDoesNothing(device);
  await twiceTheSpaceBar(mouse, urls[0]);
  await withoutMotion(browser, urls[0]);
  await amongManyCards(devices[0]);
});

function wait(ms) {
  return new Promise((resume) => setTimeout(resume, ms));
}

/** The first open check of the week: its task and its spot. */
async function firstCheck(page) {
  const check = page.locator(OPEN).first();
  await check.scrollIntoViewIfNeeded();
  const stem = (await check.getAttribute("data-key")).replace("check ", "");
  const { x, y, width, height } = await check.boundingBox();
  return { stem, x: x + width / 2, y: y + height / 2 };
}

/** Records the completions that the page asks for. */
function completions(page) {
  const asked = [];
  const note = (request) => request.url().endsWith("/complete") && asked.push(decodeURIComponent(request.url()));
  page.on("request", note);
  return { asked, stop: () => page.off("request", note) };
}

/** Where the cards are on the page, however far it is scrolled. */
function places(page) {
  return page.evaluate(() =>
    [...document.querySelectorAll(".week .card .name a")].map((it) => [
      it.dataset.key,
      it.getBoundingClientRect().y + scrollY,
    ]),
  );
}

/** Waits until the page shows what the service has, and nothing has moved for a while. */
async function upToDate(page) {
  await page.locator(".week .gone").first().waitFor({ state: "detached" });
  const looked = page.waitForResponse("**/codex");
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await looked;
  await calm(page);
}

async function closesUp(page, stem) {
  await page.locator(`[data-key="task ${stem}"]`).waitFor({ state: "detached" });
  await calm(page);
}

async function aCompletedCardStaysAndTheRestDoesToo(page, url) {
  await calm(page);
  await countGliding(page);
  const before = await places(page);
  const { stem, x, y } = await firstCheck(page);
  const began = Date.now();
  await page.mouse.click(x, y);
  const card = page.getByRole("article").filter({ has: page.locator(`[data-key="task ${stem}"]`) });
  await card.getByText("erledigt", { exact: true }).waitFor();
  await picture(page, "completed");
  await eventually("it is done", async () => (await task(url, stem)).status === "abgeschlossen");
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  while (Date.now() - began < STAYS) {
    assert.deepEqual(await places(page), before, "nothing has moved");
    await wait(100);
  }
  assert.equal(await card.locator(".name a").evaluate((it) => getComputedStyle(it).textDecorationLine), "line-through");
  await page.locator(`[data-key="task ${stem}"]`).waitFor({ state: "detached" });
  console.log(`the week closed up ${Date.now() - began} ms after the tap`);
  await calm(page);
  assert.ok((await page.evaluate(() => globalThis.glided)) > 0, "with a motion");
  await dismissAll(page);
}

/** Counts the animations that the page's script begins. */
function countGliding(page) {
  return page.evaluate(() => {
    globalThis.glided = 0;
    const { animate } = Element.prototype;
    Element.prototype.animate = function (...given) {
      globalThis.glided += 1;
      return animate.apply(this, given);
    };
  });
}

async function undoIsInPlace(page, url) {
  const { stem, x, y } = await firstCheck(page);
  await page.mouse.click(x, y);
  await page.locator(`[data-key="undo ${stem}"]`).click();
  await eventually("it is open again", async () => (await task(url, stem)).status === "offen");
  await page.locator(`${OPEN}[data-key="check ${stem}"]`).waitFor();
  assert.equal((await firstCheck(page)).stem, stem, "where it was");
  await wait(4_000);
  assert.equal((await firstCheck(page)).stem, stem, "and it stays there");
  await dismissAll(page);
}

async function twoTaps({ page, url, tap }, number) {
  const gap = GAPS[number % GAPS.length];
  const between = BETWEEN[number % BETWEEN.length];
  // Every fifth time something has just moved before.
  if (number % 5 === 0) await moves(page, url);
  await upToDate(page);
  const { asked, stop } = completions(page);
  const { stem, x, y } = await firstCheck(page);
  await tap(x, y);
  const began = Date.now();
  if (between !== "nothing") await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  if (between === "a change elsewhere") await changeElsewhere(url);
  await wait(Math.max(0, gap - (Date.now() - began)));
  await tap(x, y);
  await eventually(`try ${number}`, async () => (await task(url, stem)).status === "abgeschlossen");
  await wait(300);
  stop();
  assert.deepEqual(asked.length, 1, `try ${number}, ${gap} ms, ${between}: ${asked}`);
  assert.ok(asked[0].includes(stem), `${asked[0]} is ${stem}`);
}

/** While one card stays, others can be completed: nothing moves in between. */
async function threeInARow({ page, tap }) {
  await upToDate(page);
  const before = await places(page);
  const { asked, stop } = completions(page);
  for (let number = 0; number < 3; number += 1) {
    const { x, y } = await firstCheck(page);
    await tap(x, y);
    await wait(200);
  }
  assert.deepEqual(await places(page), before);
  await isSound(page, "completed cards in place");
  stop();
  assert.equal(new Set(asked).size, 3, `${asked}`);
}

/** Something else on the page is drawn anew between press and release. */
async function aPressOutlivesARedraw(page, url) {
  await upToDate(page);
  const { asked, stop } = completions(page);
  const last = page.locator(".week .card .name a", { hasText: /^Stapel \d+$/ }).last();
  const other = (await last.getAttribute("data-key")).replace("task ", "");
  const { stem, x, y } = await firstCheck(page);
  await page.mouse.move(x, y);
  await page.mouse.down();
  const changed = await api(url, "PATCH", `/api/tasks/${encodeURIComponent(other)}`, { body: "# Neu\n" });
  assert.equal(changed.status, 200);
  await page.locator(`.week [data-key="task ${other}"]`, { hasText: "Neu" }).waitFor();
  await page.mouse.up();
  await closesUp(page, stem);
  stop();
  assert.equal(asked.length, 1, `${asked}`);
}

/** However many cards there are: what doesn't move can be tapped. */
async function amongManyCards(device) {
  for (let number = 0; number < MANY; number += 1)
    await make(device.url, `Noch ${number}`, { fixedSlot: null, kategorie: "arbeit" });
  await device.page.locator('[data-key="all unplaced"]').click();
  await eventually("all are shown", async () => (await device.page.locator(".card").count()) > MANY);
  await threeInARow(device);
}

/** Gives the first place of the week to another task, or takes it away: all cards move. */
async function changeElsewhere(url) {
  const { json } = await api(url, "GET", "/api/tasks?q=Springer");
  const [jumper] = json.tasks;
  if (!jumper) return make(url, "Springer", { kategorie: "arbeit", fixedSlot: await firstSlot(url) });
  const stem = jumper.filename.replace(/\.md$/, "");
  const fixedSlot = jumper.fixedSlot ? null : await firstSlot(url);
  const { status } = await api(url, "PATCH", `/api/tasks/${stem}`, { fixedSlot });
  assert.equal(status, 200);
}

async function firstSlot(url) {
  const { json } = await api(url, "GET", "/codex");
  const { datum, slots } = json.timeline.find((day) => day.slots.length > 0);
  return { datum, zeit: slots[0].zeit };
}

async function moves(page, url) {
  await upToDate(page);
  const before = JSON.stringify(await places(page));
  await changeElsewhere(url);
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await page.waitForFunction(
    (then) =>
      JSON.stringify(
        [...document.querySelectorAll(".week .card .name a")].map((it) => [
          it.dataset.key,
          it.getBoundingClientRect().y + scrollY,
        ]),
      ) !== then,
    before,
    { polling: 20 },
  );
}

async function aTapJustAfterAChangeDoesNothing({ page, url, tap }) {
  await upToDate(page);
  const { asked, stop } = completions(page);
  for (let number = 0; number < 4; number += 1) {
    const { x, y } = await firstCheck(page);
    await moves(page, url);
    await tap(x, y);
    await wait(300);
  }
  stop();
  assert.deepEqual(asked, [], "what moved under the finger wasn't meant");
  await calm(page);
}

async function twiceTheSpaceBar(page, url) {
  await upToDate(page);
  const { stem } = await firstCheck(page);
  const { asked, stop } = completions(page);
  await page.locator(`[data-key="check ${stem}"]`).focus();
  await page.keyboard.press("Space");
  await wait(200);
  await page.keyboard.press("Space");
  await closesUp(page, stem);
  await page.keyboard.press("Space");
  await wait(300);
  stop();
  assert.equal(asked.length, 1, `${asked}`);
}

/** With reduced motion the week closes up at once. */
async function withoutMotion(browser, url) {
  const page = await visit(browser, url);
  await calm(page);
  const { stem, x, y } = await firstCheck(page);
  await countGliding(page);
  await page.mouse.click(x, y);
  await closesUp(page, stem);
  assert.equal(await page.evaluate(() => globalThis.glided), 0);
  await page.context().close();
}
