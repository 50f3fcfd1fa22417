// Steps of the scenarios that move tasks. Their clock begins at Monday, 30 November 2026, 8:00.
import assert from "node:assert/strict";
import { calm, dismissAll, make, said, task } from "./steps.mjs";
import { api, eventually } from "./support.mjs";

export const WORDS = {
  de: {
    move: (title) => `Verschieben: ${title}`,
    choose: /^Tag und Zeit wählen/,
    taken: "Do 3. Dez, abends ist vergeben",
    lands: ["→ Mo 30. Nov, morgens", "„Angebot“ rückt auf Mo 30. Nov, nachmittags", "1 andere rückt mit"],
  },
  en: {
    move: (title) => `Move: ${title}`,
    choose: /^Choose day and time/,
    taken: "Thu 3 Dec, evening is taken",
    lands: ["→ Mon 30 Nov, morning", "“Angebot” moves to Mon 30 Nov, afternoon", "1 other moves along"],
  },
};
export const [MONDAY, TUESDAY, WEDNESDAY, THURSDAY, SATURDAY] = [30, 1, 2, 3, 5].map(
  (day) => `${String(day).padStart(2, "0")}.${day === 30 ? 11 : 12}.2026`,
);
export const slot = (datum, zeit) => ({ datum, zeit });

/** What the page shows in its slots, and what the service has there. */
export const shownPlaces = (page) =>
  page
    .locator("[data-slot]")
    .evaluateAll((all) =>
      Object.fromEntries(all.map((it) => [it.dataset.slot, it.querySelector(".card .name")?.innerText ?? null])),
    );
export const cardOf = (page, title) =>
  page.getByRole("article").filter({ has: page.getByRole("link", { name: title, exact: true }) });
export const slotOf = (page, { datum, zeit }) => page.locator(`[data-slot="${datum} ${zeit}"]`);
export const lands = (page) => page.locator(".ghost .lands span").allInnerTexts();
export const over = ({ datum, zeit }) => `[data-slot="${datum} ${zeit}"]`;
export const slotIs = (url, stem, expected) =>
  eventually(
    `${stem} at ${JSON.stringify(expected)}`,
    async () => JSON.stringify((await task(url, stem)).fixedSlot) === JSON.stringify(expected),
  );
export const focused = (page) =>
  page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.innerText.trim());

export function wait(ms) {
  return new Promise((resume) => setTimeout(resume, ms));
}

/** Completes all tasks of the demo. Makes four that are placed by the rules and three with a slot, one of them taken. */
export async function prepare(url) {
  const { json } = await api(url, "GET", "/api/tasks");
  for (const { filename } of json.tasks)
    await api(url, "POST", `/api/tasks/${encodeURIComponent(filename.replace(/\.md$/, ""))}/complete`);
  const stems = {};
  const add = async (title, kategorie, fixedSlot) => (stems[title] = await make(url, title, { kategorie, fixedSlot }));
  await add("Angebot", "arbeit", null);
  await add("Bericht", "arbeit", null);
  await add("Chorprobe", "privat", slot(THURSDAY, "abends"));
  await add("Dienstreise", "arbeit", slot(WEDNESDAY, "morgens"));
  await add("Einkauf", "privat", null);
  await add("Wartet", "arbeit", slot(WEDNESDAY, "morgens"));
  return stems;
}

export async function realPlaces(url) {
  const { json } = await api(url, "GET", "/codex");
  return Object.fromEntries(
    json.timeline.flatMap(({ datum, slots }) =>
      slots.map(({ zeit, task }) => [`${datum} ${zeit}`, task?.title ?? null]),
    ),
  );
}

export async function asTheService(page, url) {
  const real = JSON.stringify(await realPlaces(url));
  await eventually("as the service has it", async () => JSON.stringify(await shownPlaces(page)) === real);
}

/** Notes the requests that change something. */
export function changes(page) {
  const asked = [];
  const note = (request) =>
    request.method() === "PATCH" &&
    asked.push([decodeURIComponent(request.url()), request.postDataJSON(), request.headers()]);
  page.on("request", note);
  return { asked, stop: () => page.off("request", note) };
}

/** The browser's driver may tell of a request after its answer. */
export async function areSent(asked, count, why) {
  await eventually("they are sent", () => asked.length >= count);
  assert.equal(asked.length, count, why);
}

export async function middleOf(locator) {
  const { x, y, width, height } = await locator.boundingBox();
  return { x: x + width / 2, y: y + height / 2 };
}

/** Takes a card by its title, and holds it over `target`. */
export async function dragOver(page, title, target) {
  await calm(page);
  const from = await middleOf(cardOf(page, title).locator(".name a"));
  await page.mouse.move(from.x, from.y);
  await page.mouse.down();
  await page.mouse.move(from.x + 8, from.y + 8);
  await page.locator(".ghost").waitFor();
  const to = await middleOf(page.locator(target));
  await page.mouse.move(to.x, to.y, { steps: 5 });
  await page.locator(".over").waitFor();
}

export async function drag(page, title, target) {
  await dragOver(page, title, target);
  await page.mouse.up();
  await page.locator(".ghost").waitFor({ state: "detached" });
}

/** In the menu and in what it leads to. */
export async function choose(page, role, name, how = "click") {
  await page.locator("#mover").getByRole(role, { name })[how]();
}

export async function undo(page) {
  await page.locator("#messages").getByRole("button", { name: "Rückgängig" }).click();
}

export async function isBack(page, url, title) {
  await said(page, `„${title}“ ist wieder, wo es war.`);
  await asTheService(page, url);
  await dismissAll(page);
}
