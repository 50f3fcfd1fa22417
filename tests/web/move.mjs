// Moving a task: dragged by mouse, by the keyboard alone, and by the menu of its card; always undone.
import assert from "node:assert/strict";
import {
  areSent,
  asTheService,
  cardOf,
  changes,
  choose,
  drag,
  dragOver,
  focused,
  isBack,
  lands,
  middleOf,
  MONDAY,
  over,
  prepare,
  realPlaces,
  SATURDAY,
  shownPlaces,
  slot,
  slotIs,
  THURSDAY,
  TUESDAY,
  undo,
  wait,
  WEDNESDAY,
  WORDS,
} from "./move_steps.mjs";
import { calm, dialogOf, dismissAll, hold, make, said, task, warned } from "./steps.mjs";
import { api, eventually, isSound, picture, scenario, visit } from "./support.mjs";

await scenario("move", async ({ browser, urls: [url] }) => {
  const stems = await prepare(url);
  const page = await visit(browser, url);
  await toAFreeSlotAndBack(page, url, stems);
  await whatIsThereGivesWay(page, url, stems);
  await fromTheListBelow(page, url, stems);
  await withoutItsSlot(page, url, stems);
  await twoSwap(page, url, stems);
  await oneGivesWay(page, url, stems);
  await halfASwapIsSaid(page, url, stems);
  await escInTheMiddle(page, url, stems);
  await nothingMovesUnderADrag(page, url, stems);
  await whatChangedElsewhereIsntOverwritten(page, url, stems);
  await droppedTwiceItIsSentOnce(page, url, stems);
  await movedAgainMeanwhile(page, url, stems);
  await theKeyboardIsEnough(page, url, stems);
});

async function toAFreeSlotAndBack(page, url, { Angebot }) {
  const to = slot(TUESDAY, "abends");
  const { asked, stop } = changes(page);
  await dragOver(page, "Angebot", over(to));
  assert.deepEqual(await lands(page), ["→ Di 1. Dez, abends", "1 andere rückt mit"]);
  await isSound(page, "a drag");
  const held = await hold(page, "**/api/tasks/**");
  await page.mouse.up();
  const atOnce = await shownPlaces(page);
  assert.equal(atOnce[`${TUESDAY} abends`], "Angebot", "it is shown at once");
  assert.equal(atOnce[`${MONDAY} morgens`], "Bericht", "and what moves along");
  assert.equal((await task(url, Angebot)).fixedSlot, null);
  await held.release();
  await said(page, "„Angebot“ ist verschoben.");
  await page.locator("#messages").getByRole("link", { name: "→ Di 1. Dez, abends", exact: true }).waitFor();
  assert.deepEqual(await realPlaces(url), atOnce, "what was shown is so");
  await areSent(asked, 1);
  const [path, body, headers] = asked[0];
  assert.ok(path.endsWith(Angebot), path);
  assert.deepEqual(body, { fixedSlot: to });
  assert.match(headers["if-match"], /^"[0-9a-f]{40}"$/);
  assert.doesNotMatch(page.url(), /task/, "what was dragged isn't opened");
  await undo(page);
  await isBack(page, url, "Angebot");
  await slotIs(url, Angebot, null);
  stop();
}

async function whatIsThereGivesWay(page, url, { Chorprobe }) {
  const to = slot(MONDAY, "morgens");
  await dragOver(page, "Chorprobe", over(to));
  assert.deepEqual(await lands(page), WORDS.de.lands);
  await page.mouse.up();
  await said(page, "„Chorprobe“ ist verschoben.");
  await slotIs(url, Chorprobe, to);
  await asTheService(page, url);
  assert.equal((await shownPlaces(page))[`${MONDAY} nachmittags`], "Angebot", "as was said before");
  await undo(page);
  await isBack(page, url, "Chorprobe");
  await slotIs(url, Chorprobe, slot(THURSDAY, "abends"));
}

/** A task without a place, to a slot; and onto its own slot nothing happens. */
async function fromTheListBelow(page, url, { Wartet }) {
  await drag(page, "Wartet", over(slot(SATURDAY, "abends")));
  await said(page, "„Wartet“ ist verschoben.");
  await slotIs(url, Wartet, slot(SATURDAY, "abends"));
  await asTheService(page, url);
  const { asked, stop } = changes(page);
  await dragOver(page, "Wartet", over(slot(SATURDAY, "abends")));
  assert.deepEqual(await lands(page), ["bleibt hier"]);
  await page.mouse.up();
  await wait(300);
  stop();
  assert.deepEqual(asked, []);
  await undo(page);
  await isBack(page, url, "Wartet");
  await putDownWhereItWas(page, url, Wartet);
}

/** In the list it keeps the slot that it waits for. */
async function putDownWhereItWas(page, url, stem) {
  const before = (await task(url, stem)).fixedSlot;
  const { asked, stop } = changes(page);
  await calm(page);
  const { x, y } = await middleOf(cardOf(page, "Wartet").locator(".name a"));
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x + 8, y + 4);
  await page.locator(".ghost").waitFor();
  assert.deepEqual(await lands(page), ["bleibt hier"]);
  await page.mouse.up();
  await wait(300);
  stop();
  assert.deepEqual(asked, []);
  assert.deepEqual((await task(url, stem)).fixedSlot, before);
}

async function withoutItsSlot(page, url, { Dienstreise }) {
  await dragOver(page, "Dienstreise", ".loose");
  assert.equal((await lands(page))[0], "→ Di 1. Dez, morgens");
  await picture(page, "move-loose");
  await page.mouse.up();
  await said(page, "„Dienstreise“ hat keinen festen Termin mehr.");
  await page.locator("#messages").getByRole("link", { name: "→ Di 1. Dez, morgens", exact: true }).waitFor();
  await slotIs(url, Dienstreise, null);
  await asTheService(page, url);
  await undo(page);
  await isBack(page, url, "Dienstreise");
  await slotIs(url, Dienstreise, slot(WEDNESDAY, "morgens"));
  // What has no slot of its own can't lose it.
  await dragOver(page, "Angebot", over(slot(TUESDAY, "abends")));
  assert.equal(await page.locator(".loose").count(), 0);
  await page.keyboard.press("Escape");
  await page.mouse.up();
}

async function twoSwap(page, url, { Angebot, Chorprobe }) {
  const [own, theirs] = [slot(MONDAY, "morgens"), slot(THURSDAY, "abends")];
  const { asked, stop } = changes(page);
  await dragOver(page, "Angebot", over(theirs));
  assert.deepEqual(await lands(page), ["→ Do 3. Dez, abends", "„Chorprobe“ steht hier fest: tauschen?"]);
  await page.mouse.up();
  const question = page.getByRole("dialog", { name: WORDS.de.taken });
  await question.getByText("Dort steht „Chorprobe“ fest. Es käme auf Mo 30. Nov, morgens.").waitFor();
  await isSound(page, "the question");
  await choose(page, "button", "Abbrechen");
  await question.waitFor({ state: "hidden" });
  assert.deepEqual(asked, [], "nothing was sent");
  await drag(page, "Angebot", over(theirs));
  await choose(page, "button", "Tauschen");
  await said(page, "„Angebot“ und „Chorprobe“ sind getauscht.");
  await areSent(asked, 2);
  await Promise.all([slotIs(url, Angebot, theirs), slotIs(url, Chorprobe, own)]);
  await asTheService(page, url);
  await undo(page);
  // The link leads to the task that is named.
  await page.locator("#messages").getByRole("link", { name: "→ Mo 30. Nov, morgens" }).waitFor();
  await isBack(page, url, "Angebot");
  await Promise.all([slotIs(url, Angebot, null), slotIs(url, Chorprobe, theirs)]);
  stop();
}

/** What waits for a slot has nothing to swap: who has that loses it. */
async function oneGivesWay(page, url, { Dienstreise, Wartet }) {
  const to = slot(WEDNESDAY, "morgens");
  await dragOver(page, "Wartet", over(to));
  assert.deepEqual(await lands(page), ["→ Mi 2. Dez, morgens", "„Dienstreise“ steht hier fest: weichen lassen?"]);
  await page.mouse.up();
  await page.locator("#mover").getByText("Dort steht „Dienstreise“ fest. Es käme auf Di 1. Dez, morgens.").waitFor();
  await choose(page, "button", "Weichen lassen");
  await said(page, "„Wartet“ ist verschoben.");
  await asTheService(page, url);
  assert.equal((await shownPlaces(page))[`${WEDNESDAY} morgens`], "Wartet");
  await slotIs(url, Dienstreise, null);
  await undo(page);
  await isBack(page, url, "Wartet");
  await Promise.all([slotIs(url, Dienstreise, to), slotIs(url, Wartet, to)]);
}

/** The second of the two changes fails: what is so is said, and can be undone. */
async function halfASwapIsSaid(page, url, { Angebot, Chorprobe }) {
  const refuse = (route) =>
    route.request().method() === "PATCH"
      ? route.fulfill({ status: 503, json: { ok: false, code: "storage_unavailable", error: "x" } })
      : route.continue();
  await page.route(`**/api/tasks/${Angebot}`, refuse);
  await drag(page, "Angebot", over(slot(THURSDAY, "abends")));
  await choose(page, "button", "Tauschen");
  await warned(page, /^„Angebot“: Die Ablage ist gerade nicht erreichbar\. .* „Chorprobe“ ist schon verschoben\.$/);
  await page.unroute(`**/api/tasks/${Angebot}`, refuse);
  await slotIs(url, Chorprobe, slot(MONDAY, "morgens"));
  assert.equal((await task(url, Angebot)).fixedSlot, null);
  await asTheService(page, url);
  await picture(page, "move-half");
  await isSound(page, "half a swap");
  await page.locator("#alerts").getByRole("button", { name: "Rückgängig" }).click();
  await said(page, "„Chorprobe“ ist wieder, wo es war.");
  await slotIs(url, Chorprobe, slot(THURSDAY, "abends"));
  await asTheService(page, url);
  assert.equal(await page.locator("#alerts .toast").count(), 0, "what was said isn't so any more");
  await dismissAll(page);
}

async function escInTheMiddle(page, url) {
  const { asked, stop } = changes(page);
  const before = await shownPlaces(page);
  await dragOver(page, "Bericht", over(slot(TUESDAY, "abends")));
  await page.keyboard.press("Escape");
  assert.equal(await page.locator(".ghost, .over, .lifted, .dragging").count(), 0);
  await page.mouse.up();
  await wait(300);
  assert.deepEqual([asked, await shownPlaces(page)], [[], before]);
  assert.equal(await dialogOf(page).count(), 0);
  // Released over its own title: that isn't a tap on it.
  await calm(page);
  const { x, y } = await middleOf(cardOf(page, "Bericht").locator(".name a"));
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x + 20, y, { steps: 3 });
  await page.mouse.move(x, y, { steps: 3 });
  await page.mouse.up();
  await wait(300);
  assert.equal(await dialogOf(page).count(), 0);
  await page.mouse.click(x, y);
  await dialogOf(page).waitFor();
  await page.keyboard.press("Escape");
  await dialogOf(page).waitFor({ state: "hidden" });
  stop();
  assert.deepEqual(asked, []);
}

/** A week that arrives meanwhile is shown after the drag; what that means is decided by the newest. */
async function nothingMovesUnderADrag(page, url, { Bericht }) {
  const to = slot(TUESDAY, "abends");
  const before = await shownPlaces(page);
  await dragOver(page, "Bericht", over(to));
  const other = await make(url, "Elternabend", { fixedSlot: to });
  const first = await make(url, "Früh", { fixedSlot: slot(MONDAY, "morgens") });
  await page.locator(".ghost").getByText("„Elternabend“ steht hier fest: tauschen?").waitFor();
  assert.deepEqual(await shownPlaces(page), before, "nothing has moved");
  await page.mouse.up();
  const question = page.getByRole("dialog", { name: "Di 1. Dez, abends ist vergeben" });
  await question.waitFor();
  await page.keyboard.press("Escape");
  await question.waitFor({ state: "hidden" });
  await asTheService(page, url);
  assert.equal((await task(url, Bericht)).fixedSlot, null);
  for (const stem of [other, first]) await api(url, "PATCH", `/api/tasks/${stem}`, { status: "abgebrochen" });
  await asTheService(page, url);
}

async function whatChangedElsewhereIsntOverwritten(page, url, { Angebot }) {
  const theirs = slot(WEDNESDAY, "abends");
  await dragOver(page, "Angebot", over(slot(TUESDAY, "abends")));
  const held = await hold(page, "**/api/tasks/**");
  await page.mouse.up();
  await api(url, "PATCH", `/api/tasks/${Angebot}`, { fixedSlot: theirs });
  await held.release();
  await warned(page, "Die Aufgabe hat sich inzwischen geändert.");
  await asTheService(page, url);
  assert.deepEqual((await task(url, Angebot)).fixedSlot, theirs);
  await api(url, "PATCH", `/api/tasks/${Angebot}`, { fixedSlot: null });
  // Another field, between reading and changing: both changes stand.
  await asTheService(page, url);
  await dismissAll(page);
  let meddled = false;
  await page.route(`**/api/tasks/${Angebot}`, async (route) => {
    if (route.request().method() === "PATCH" && !meddled) {
      meddled = true;
      await api(url, "PATCH", `/api/tasks/${Angebot}`, { tags: ["neu"] });
    }
    await route.continue();
  });
  await drag(page, "Angebot", over(slot(TUESDAY, "abends")));
  await said(page, "„Angebot“ ist verschoben.");
  await page.unroute(`**/api/tasks/${Angebot}`);
  const { tags, fixedSlot } = await task(url, Angebot);
  assert.deepEqual([tags, fixedSlot], [["neu"], slot(TUESDAY, "abends")]);
  await undo(page);
  await isBack(page, url, "Angebot");
}

async function droppedTwiceItIsSentOnce(page, url, { Angebot }) {
  const to = slot(TUESDAY, "abends");
  const { asked, stop } = changes(page);
  const held = await hold(page, "**/api/tasks/**");
  await drag(page, "Angebot", over(to));
  await drag(page, "Angebot", over(to));
  await held.release();
  await said(page, "„Angebot“ ist verschoben.");
  await asTheService(page, url);
  await areSent(asked, 1);
  await undo(page);
  await isBack(page, url, "Angebot");
  await calm(page);
  await cardOf(page, "Angebot").getByRole("button", { name: "Verschieben: Angebot" }).click();
  await choose(page, "menuitem", /^Morgen/, "dblclick");
  await said(page, "„Angebot“ ist verschoben.");
  await wait(300);
  stop();
  await areSent(asked, 3, "one more, beside the undo");
  await undo(page);
  await isBack(page, url, "Angebot");
  await slotIs(url, Angebot, null);
}

/** Moved again before the first move is confirmed: the last one counts. */
async function movedAgainMeanwhile(page, url, { Angebot }) {
  const held = await hold(page, "**/api/tasks/**");
  await drag(page, "Angebot", over(slot(TUESDAY, "abends")));
  await drag(page, "Angebot", over(slot(WEDNESDAY, "abends")));
  assert.equal((await shownPlaces(page))[`${WEDNESDAY} abends`], "Angebot");
  await held.release();
  await slotIs(url, Angebot, slot(WEDNESDAY, "abends"));
  await eventually("both are said", async () => (await page.locator("#messages .toast").count()) === 2);
  await asTheService(page, url);
  for (const expected of [slot(TUESDAY, "abends"), null]) {
    await page
      .locator("#messages .toast")
      .filter({ hasText: "ist verschoben" })
      .last()
      .getByRole("button", { name: "Rückgängig" })
      .click();
    await slotIs(url, Angebot, expected);
    await eventually(
      "its message goes",
      async () =>
        (await page.locator("#messages .toast").filter({ hasText: "ist verschoben" }).count()) === (expected ? 1 : 0),
    );
  }
  await asTheService(page, url);
  await dismissAll(page);
}

async function theKeyboardIsEnough(page, url, { Angebot, Chorprobe }) {
  await calm(page);
  await page.locator("main").focus();
  await page.keyboard.press("j");
  assert.equal(await focused(page), "Angebot");
  await page.keyboard.press("m");
  const menu = page.getByRole("menu", { name: "Verschieben: Angebot" });
  await menu.waitFor();
  assert.match(await focused(page), /^Heute/);
  await isSound(page, "the menu");
  for (const [key, expected] of [
    ["ArrowDown", /^Morgen\s+→ Di 1. Dez, morgens/],
    ["ArrowDown", /^Nächster freier Platz\s+→ Di 1. Dez, morgens/],
    ["ArrowDown", /^Tag und Zeit wählen/],
    ["ArrowDown", /^Termin lösen\s+hat keinen/],
    ["ArrowDown", /^Heute/],
    ["ArrowUp", /^Termin lösen/],
    ["Home", /^Heute/],
    ["End", /^Termin lösen/],
  ]) {
    await page.keyboard.press(key);
    assert.match(await focused(page), expected);
  }
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  await menu.waitFor({ state: "hidden" });
  assert.equal(await focused(page), "Angebot", "back where it was opened");
  await page.keyboard.press("m");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await said(page, "„Angebot“ ist verschoben.");
  await slotIs(url, Angebot, slot(TUESDAY, "morgens"));
  await asTheService(page, url);
  assert.equal(await focused(page), "Angebot", "at its new place");
  // A taken slot, by day and time: the question, too.
  await page.keyboard.press("m");
  await menu.waitFor();
  await page.keyboard.press("End");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  const choice = page.getByRole("dialog", { name: "Verschieben: Angebot" });
  await choice.getByLabel("Fester Tag").fill("2026-12-03");
  await choice.getByLabel("Tageszeit").selectOption("abends");
  await choice.getByText("„Chorprobe“ steht hier fest: tauschen?").waitFor();
  await choice.getByLabel("Fester Tag").focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: WORDS.de.taken }).waitFor();
  assert.equal(await focused(page), "Tauschen");
  await page.keyboard.press("Enter");
  await said(page, "„Angebot“ und „Chorprobe“ sind getauscht.");
  await Promise.all([slotIs(url, Angebot, slot(THURSDAY, "abends")), slotIs(url, Chorprobe, slot(TUESDAY, "morgens"))]);
  await asTheService(page, url);
  // After the week; a slot that is over can't be chosen.
  await page.keyboard.press("m");
  await page.keyboard.press("End");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await choice.getByLabel("Fester Tag").fill("2027-01-08");
  await choice.getByLabel("Tageszeit").selectOption("morgens");
  await choice.getByText("→ Fr 8. Jan 2027, morgens").waitFor();
  await isSound(page, "a day and time");
  await choose(page, "button", "Verschieben");
  await slotIs(url, Angebot, slot("08.01.2027", "morgens"));
  await page.locator("#messages").getByRole("link", { name: "→ Fr 8. Jan 2027, morgens", exact: true }).waitFor();
  await asTheService(page, url);
  await dismissAll(page);
  await cardOf(page, "Angebot").locator(".name a").focus();
  await page.keyboard.press("m");
  await page.keyboard.press("End");
  await page.keyboard.press("Enter");
  await said(page, "„Angebot“ hat keinen festen Termin mehr.");
  await slotIs(url, Angebot, null);
  await api(url, "PATCH", `/api/tasks/${Chorprobe}`, { fixedSlot: slot(THURSDAY, "abends") });
  await asTheService(page, url);
  await dismissAll(page);
}
