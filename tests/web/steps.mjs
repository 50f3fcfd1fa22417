// Steps shared by scenarios: a user's actions on the page, and another program's through the API.
import assert from "node:assert/strict";
import { api, eventually } from "./support.mjs";

/** Creates a task in a free slot of the week, so that the week shows it. */
export async function make(url, title, more = {}) {
  const slot = (await freeSlots(url))[0];
  const { status, json } = await api(url, "POST", "/api/tasks", {
    kategorie: "privat",
    title,
    fixedSlot: slot,
    ...more,
  });
  assert.equal(status, 201, JSON.stringify(json));
  return json.filename.replace(/\.md$/, "");
}

export async function freeSlots(url) {
  const { json } = await api(url, "GET", "/codex");
  return json.timeline.flatMap(({ datum, slots }) =>
    slots.filter(({ task }) => !task).map(({ zeit }) => ({ datum, zeit })),
  );
}

export const task = async (url, stem) =>
  (await api(url, "GET", `/api/tasks/${encodeURIComponent(stem)}`, undefined, { "Cache-Control": "no-cache" })).json;
export const titled = async (url, title) =>
  (
    await api(url, "GET", `/api/tasks?status=alle&q=${encodeURIComponent(title)}`, undefined, {
      "Cache-Control": "no-cache",
    })
  ).json.tasks;
export const tap = (page, name) => page.getByRole("button", { name, exact: true }).click();

const CALM = 800; // Longer than taps are ignored after something moved (ms).

/** Waits until nothing has moved for so long that a tap counts. */
export function calm(page) {
  return page.evaluate(
    (calm) =>
      new Promise((resolve) => {
        let [before, since] = [null, 0];
        const look = () => {
          const nodes = [...document.querySelectorAll(".card, .toast, dialog[open]")];
          const places = nodes.map((it) => [it.getBoundingClientRect(), it.dataset.stem]);
          const now = JSON.stringify([scrollY, places]);
          if (now !== before) [before, since] = [now, performance.now()];
          if (performance.now() - since > calm) resolve();
          else setTimeout(look, 50);
        };
        look();
      }),
    CALM,
  );
}

/** Completes a task by its check and the keyboard: a tap just after cards moved would do nothing. */
export const complete = (page, title) =>
  page.getByRole("button", { name: `Erledigen: ${title}`, exact: true }).press("Space");

export const dialogOf = (page) => page.getByRole("dialog");
export const said = (page, text) => page.locator("#messages").getByText(text).waitFor();
export const warned = (page, text) => page.locator("#alerts").getByText(text).waitFor();

/** Waits until the page shows the task with this title. */
export async function shows(page, title) {
  await page.getByRole("link", { name: title, exact: true }).waitFor();
}

/** Closes all messages; one may disappear by itself before the click. */
export async function dismissAll(page) {
  const close = page.getByRole("button", { name: "Meldung schließen" });
  while (await close.count())
    await close
      .first()
      .click({ timeout: 1_000 })
      .catch(() => {});
}

/** Holds requests to `pattern` until they are released. */
export async function hold(page, pattern) {
  let release;
  const released = new Promise((resolve) => (release = resolve));
  await page.route(pattern, async (route) => {
    await released;
    await route.continue();
  });
  return {
    release: async () => {
      release();
      await page.unroute(pattern, { behavior: "wait" });
    },
  };
}

export async function openNew(page) {
  await page.getByRole("link", { name: "Neue Aufgabe", exact: true }).click();
  await dialogOf(page).getByLabel("Titel").waitFor();
}

export async function openEdit(page, title) {
  await page.getByRole("link", { name: title, exact: true }).click();
  await dialogOf(page).getByRole("link", { name: "Bearbeiten" }).click();
  await dialogOf(page).getByLabel("Text", { exact: true }).waitFor();
}

/** Waits until the page could open without a connection, with the week of this user. */
export async function readyToBeOffline(page, user) {
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
  const kept = (name) => page.evaluate((it) => caches.keys().then((names) => names.includes(it)), name);
  await eventually("the week is kept", () => kept(`week of ${user}`));
}
