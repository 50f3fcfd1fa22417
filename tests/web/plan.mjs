// What a planner does beside the week: a title and boxes in the text, deleting, what is done, other weeks. The folder has a
// task that was done long ago; `outside` writes a file.
import assert from "node:assert/strict";
import { calm, complete, dialogOf, dismissAll, make, openEdit, said, shows, tap, task, warned } from "./steps.mjs";
import { LOCALES, SIZES, api, eventually, isSound, outside, picture, scenario, visit } from "./support.mjs";

await scenario("plan", async ({ browser, urls: [url] }) => {
  for (const { filename } of (await api(url, "GET", "/api/tasks")).json.tasks)
    await api(url, "POST", `/api/tasks/${encodeURIComponent(filename.replace(/\.md$/, ""))}/complete`);
  await make(url, "Erste Aufgabe");
  const page = await visit(browser, url);
  await theTitleIsAField(page, url);
  await aTitleAndATextChangedByTwoBothStand(page, url);
  await boxesInTheTextCanBeTicked(page, url);
  await aBoxSomebodyElseTickedIsShown(page, url);
  await aDialogClosesByItsCrossEscAndBesideIt(page);
  await deletingIsUndone(page, url);
  await deletingIsSentAfterTenSeconds(page, url);
  await deletingIsSentWhenThePageIsLeft(browser, url);
  await whatAnEditorSavedMeanwhileIsntDeleted(page, url);
  await whatIsDoneCanBeReopenedAndTwoTapsReopenOne(page, url);
  await whatWasDoneLongAgoIsFurtherDown(page);
  await otherWeeksHaveWhatIsKnownOfThem(page, url);
  await everyViewIsSound(browser, url);
});

function cardOf(page, title) {
  return page.getByRole("article").filter({ hasText: title });
}
async function bodyOf(url, stem) {
  return (await task(url, stem)).body;
}

/** Notes the requests of a method that the page sends. */
function sentBy(page, method) {
  const sent = [];
  page.on("request", (request) => request.method() === method && sent.push(request));
  return sent;
}

async function openTask(page, title) {
  await shows(page, title);
  await page.getByRole("link", { name: title, exact: true }).click();
  await dialogOf(page).getByRole("heading", { name: title }).waitFor();
}

async function theTitleIsAField(page, url) {
  const stem = await make(url, "Gartenhaus streichen", { body: `## Gartenhaus streichen ##\n\nMit *Lasur*.\n` });
  await shows(page, "Gartenhaus streichen");
  await openEdit(page, "Gartenhaus streichen");
  const dialog = dialogOf(page);
  assert.equal(await dialog.getByLabel("Titel").inputValue(), "Gartenhaus streichen");
  assert.equal(await dialog.getByLabel("Text", { exact: true }).inputValue(), "Mit *Lasur*.\n", "not said twice");
  const sent = sentBy(page, "PATCH");
  await dialog.getByLabel("Titel").fill("Gartenhaus # lasieren");
  await tap(page, "Speichern");
  await said(page, "„Gartenhaus # lasieren“ ist gespeichert.");
  await eventually("it is sent", () => sent.length > 0);
  assert.deepEqual(sent[0].postDataJSON(), { title: "Gartenhaus # lasieren" });
  assert.equal(await bodyOf(url, stem), "## Gartenhaus # lasieren ##\n\nMit *Lasur*.\n", "the heading stays as it was");
  // The task is shown again.
  await dialog.getByRole("link", { name: "Bearbeiten" }).click();
  await dialog.getByLabel("Text", { exact: true }).fill("Mit Öl.\n");
  await dialog.getByLabel("Titel").fill("Gartenhaus ölen");
  await tap(page, "Speichern");
  await said(page, "„Gartenhaus ölen“ ist gespeichert.");
  assert.equal(await bodyOf(url, stem), "## Gartenhaus ölen ##\n\nMit Öl.\n");
  await page.keyboard.press("Escape");
}

async function aTitleAndATextChangedByTwoBothStand(page, url) {
  const stem = await make(url, "Zaun", { body: "# Zaun\n\nalt\n" });
  await shows(page, "Zaun");
  await openEdit(page, "Zaun");
  await api(url, "PATCH", `/api/tasks/${stem}`, { title: "Gartenzaun" });
  await dialogOf(page).getByLabel("Text", { exact: true }).fill("neu\n");
  await tap(page, "Speichern");
  await said(page, "„Gartenzaun“ ist gespeichert.");
  assert.equal(await bodyOf(url, stem), "# Gartenzaun\n\nneu\n");
  await page.keyboard.press("Escape");
}

async function boxesInTheTextCanBeTicked(page, url) {
  const text = "# Packen\n\n- [ ] Zelt\n- [x] Kocher\n\n```\n- [ ] kein Kästchen\n```\n";
  const stem = await make(url, "Packen", { body: text });
  await openTask(page, "Packen");
  const box = dialogOf(page).getByRole("checkbox", { name: "Zelt" });
  assert.equal(await box.isChecked(), false);
  await box.check();
  await eventually("the line is changed", async () => (await bodyOf(url, stem)) === text.replace("[ ] Zelt", "[x] Zelt"));
  await dialogOf(page).getByRole("checkbox", { name: "Kocher" }).uncheck();
  await eventually("so is the other", async () => (await bodyOf(url, stem)).includes("- [ ] Kocher"));
  await page.keyboard.press("Escape");
}

async function aBoxSomebodyElseTickedIsShown(page, url) {
  const stem = await make(url, "Einladen", { body: "# Einladen\n\n- [ ] Ada\n- [ ] Bo\n" });
  await openTask(page, "Einladen");
  await dialogOf(page).getByRole("checkbox", { name: "Bo" }).waitFor();
  await api(url, "PATCH", `/api/tasks/${stem}`, { body: "# Einladen\n\n- [ ] Ada\n- [ ] Bo\n- [ ] Cleo\n" });
  // Not `check`: the box is unticked again.
  await dialogOf(page).getByRole("checkbox", { name: "Ada" }).click();
  await warned(page, "Die Aufgabe hat sich inzwischen geändert.");
  await dialogOf(page).getByRole("checkbox", { name: "Cleo" }).waitFor();
  assert.equal((await bodyOf(url, stem)).includes("[x]"), false);
  await dialogOf(page).getByRole("checkbox", { name: "Cleo" }).check();
  await eventually("the line is changed", async () => (await bodyOf(url, stem)).includes("- [x] Cleo"));
  // With the version that the tick has made.
  await tap(page, "Absagen");
  await said(page, "„Einladen“ ist abgesagt.");
}

async function aDialogClosesByItsCrossEscAndBesideIt(page) {
  const open = async () => {
    await openTask(page, "Packen");
    return dialogOf(page);
  };
  const ways = [
    () => page.getByRole("button", { name: "Schließen", exact: true }).click(),
    () => page.keyboard.press("Escape"),
    () => page.mouse.click(5, 5),
  ];
  for (const close of ways) {
    const dialog = await open();
    await close();
    await dialog.waitFor({ state: "hidden" });
    assert.match(page.url(), /\/(#\/)?$/);
  }
  // Text that is selected to beyond the edge.
  const dialog = await open();
  const { x, y } = await dialog.getByText("Zelt").boundingBox();
  await page.mouse.move(x + 2, y + 2);
  await page.mouse.down();
  await page.mouse.move(5, 5);
  await page.mouse.up();
  assert.ok(await dialog.isVisible());
  await page.keyboard.press("Escape");
}

async function remove(page, title) {
  await openTask(page, title);
  await dialogOf(page).getByRole("button", { name: "Löschen" }).click();
  await cardOf(page, title).getByText("gelöscht").waitFor();
}

async function isGone(url, stem) {
  return (await api(url, "GET", `/api/tasks/${encodeURIComponent(stem)}`)).status === 404;
}

async function deletingIsUndone(page, url) {
  const stem = await make(url, "Altes Fahrrad");
  const sent = sentBy(page, "DELETE");
  await remove(page, "Altes Fahrrad");
  await page.locator("#messages").getByText("In Git bleibt sie in der Geschichte").waitFor();
  await page.getByRole("button", { name: "Rückgängig: Altes Fahrrad" }).click();
  await page.getByRole("button", { name: "Erledigen: Altes Fahrrad" }).waitFor();
  assert.equal(await cardOf(page, "Altes Fahrrad").getByText("gelöscht").count(), 0);
  // Longer than it would have taken.
  await new Promise((resume) => setTimeout(resume, 10_500));
  assert.equal(sent.length, 0);
  assert.equal(await isGone(url, stem), false);
}

async function deletingIsSentAfterTenSeconds(page, url) {
  const stem = await make(url, "Kaputter Schirm");
  const sent = sentBy(page, "DELETE");
  await remove(page, "Kaputter Schirm");
  assert.equal(await isGone(url, stem), false, "it can be undone");
  await eventually("it is sent", () => sent.length > 0);
  assert.match(sent[0].headers()["if-match"], /^"[0-9a-f]{40}"$/);
  await eventually("it is gone", () => isGone(url, stem));
  await cardOf(page, "Kaputter Schirm").waitFor({ state: "detached" });
  assert.equal(sent.length, 1);
}

async function deletingIsSentWhenThePageIsLeft(browser, url) {
  const stem = await make(url, "Leere Kisten");
  const page = await visit(browser, url);
  await remove(page, "Leere Kisten");
  await page.goto("about:blank");
  await eventually("it is gone", () => isGone(url, stem));
  await page.context().close();
}

async function whatAnEditorSavedMeanwhileIsntDeleted(page, url) {
  const stem = await make(url, "Doch noch gebraucht");
  await remove(page, "Doch noch gebraucht");
  await api(url, "PATCH", `/api/tasks/${stem}`, { tags: ["wichtig"] });
  await warned(page, "Die Aufgabe hat sich inzwischen geändert.");
  await page.getByRole("button", { name: "Erledigen: Doch noch gebraucht" }).waitFor();
  assert.equal(await isGone(url, stem), false);
}

async function whatIsDoneCanBeReopenedAndTwoTapsReopenOne(page, url) {
  const stems = [await make(url, "Brot backen"), await make(url, "Brot essen")];
  for (const title of ["Brot backen", "Brot essen"]) {
    await shows(page, title);
    await complete(page, title);
    await said(page, `„${title}“ ist erledigt.`);
  }
  await page.getByRole("link", { name: "Erledigt", exact: true }).click();
  await page.getByRole("heading", { name: "Erledigt" }).waitFor();
  const button = page.getByRole("button", { name: "Wieder öffnen: Brot backen" });
  await button.waitFor();
  await button.evaluate((it) => it.scrollIntoView({ block: "center" }));
  await dismissAll(page);
  await calm(page);
  const { x, y } = await button.boundingBox();
  const sent = sentBy(page, "PATCH");
  for (const wait of [0, 150, 450]) {
    await new Promise((resume) => setTimeout(resume, wait));
    await page.mouse.click(x + 10, y + 10);
  }
  await said(page, "„Brot backen“ ist wieder offen.");
  await eventually("it is sent", () => sent.length > 0);
  assert.equal(sent.length, 1, "two taps on one spot reopen one task");
  // It stays in place for a while, then the list closes up.
  await button.waitFor({ state: "detached" });
  await cardOf(page, "Brot backen").waitFor({ state: "detached" });
  const states = await Promise.all(stems.map(async (stem) => (await task(url, stem)).status));
  assert.deepEqual(states, ["offen", "abgeschlossen"]);
}

async function whatWasDoneLongAgoIsFurtherDown(page) {
  const long = page.getByRole("link", { name: "Vor langer Zeit" });
  assert.equal(await long.count(), 0);
  const earlier = page.getByRole("button", { name: "Frühere zeigen" });
  for (;;) {
    await earlier.or(long).first().waitFor();
    if (await long.count()) break;
    // The list may be drawn anew meanwhile.
    await earlier.click({ timeout: 2_000 }).catch(() => {});
  }
  await earlier.waitFor({ state: "detached" });
  await picture(page, "done");
  await page.getByRole("link", { name: "Zurück zur Woche" }).click();
  await page.getByRole("heading", { name: /^Heute, / }).waitFor();
}

/** The day `count` days after today, as the API has it, and as `yyyy-mm-dd`. */
async function dayIn(url, count) {
  const { weekStart } = (await api(url, "GET", "/codex")).json;
  const today = Date.parse(weekStart.split(".").reverse().join("-"));
  const iso = new Date(today + count * 86_400_000).toISOString().slice(0, 10);
  return { iso, datum: iso.split("-").reverse().join(".") };
}

async function otherWeeksHaveWhatIsKnownOfThem(page, url) {
  const [fixed, due] = [await dayIn(url, 9), await dayIn(url, 11)];
  await make(url, "Konzert", { fixedSlot: { datum: fixed.datum, zeit: "abends" } });
  await make(url, "Steuer", { fixedSlot: undefined, kategorie: "arbeit", deadline: due.datum });
  // A week that has days of this one is this one.
  await page.goto(`${url}#/week/${(await dayIn(url, 3)).iso}`);
  await page.waitForURL(`${url}#/`);
  await page.getByRole("heading", { name: /^Heute, / }).waitFor();
  await page.getByRole("link", { name: "eine Woche später" }).click();
  const day = (iso) => page.locator(`section[aria-labelledby="day-${iso}"]`);
  await day(fixed.iso).getByRole("listitem").filter({ hasText: "Abends" }).getByText("Konzert").waitFor();
  await day(due.iso).getByRole("listitem").filter({ hasText: "Fristen" }).getByText("Steuer").waitFor();
  await picture(page, "later");
  await day(fixed.iso).getByRole("link", { name: /frei, neue Aufgabe am .*, Morgens/ }).click();
  assert.equal(await dialogOf(page).getByLabel("Fester Tag").inputValue(), fixed.iso);
  await page.keyboard.press("Escape");
  await day(fixed.iso).getByText("Konzert").waitFor();
  // A change shows here, too.
  await complete(page, "Konzert");
  await said(page, "„Konzert“ ist erledigt.");
  await cardOf(page, "Konzert").waitFor({ state: "detached" });
  await page.getByRole("link", { name: "Diese Woche" }).click();
  await page.getByRole("heading", { name: /^Heute, / }).waitFor();
  await outside("done yesterday");
  await page.getByRole("link", { name: "eine Woche früher" }).click();
  await cardOf(page, "Gestern geschafft").waitFor();
  await page.goBack();
  await page.getByRole("heading", { name: /^Heute, / }).waitFor();
}

async function everyViewIsSound(browser, url) {
  const later = (await dayIn(url, 7)).iso;
  for (const lang of Object.keys(LOCALES))
    for (const size of Object.keys(SIZES))
      for (const colorScheme of ["light", "dark"]) {
        const page = await visit(browser, url, { lang, size, colorScheme });
        for (const place of ["#/done", `#/week/${later}`]) {
          await page.goto(`${url}${place}`);
          await page.getByRole("article").first().waitFor();
          await isSound(page, `${place} ${lang} ${size} ${colorScheme}`);
        }
        await page.goto(`${url}#/`);
        await page.getByRole("link", { name: "Packen", exact: true }).click();
        await dialogOf(page).getByRole("checkbox").first().waitFor();
        await isSound(page, `a task ${lang} ${size} ${colorScheme}`);
        await page.context().close();
      }
}
