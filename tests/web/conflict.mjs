// Two users change one task: the later one sees both versions and decides.
import assert from "node:assert/strict";
import { dialogOf, dismissAll, make, openEdit, said, tap, task } from "./steps.mjs";
import { api, isSound, picture, scenario, visit } from "./support.mjs";

const LINES = Array.from({ length: 9 }, (_, at) => `Zeile ${at + 1}`).join("\n");

await scenario("conflict", async ({ browser, urls: [url] }) => {
  const page = await visit(browser, url);
  await differentFieldsAreNoConflict(page, url);
  await whoIsAlwaysLaterIsToldSo(page, url);
  await mineStaysWithTheirOtherFields(page, url);
  await theirsIsTaken(page, url);
  await editingGoesOn(page, url);
  await aSecondChangeMeanwhileIsAConflictAgain(page, url);
  for (const size of ["device", "phone"]) {
    const other = await visit(browser, url, { size, colorScheme: "dark" });
    await bothAreShown(other, url, `Konflikt ${size}`);
    await isSound(other, `a conflict, ${size}`);
    await picture(other, `conflict-${size}`);
    await other.context().close();
  }
});

function change(url, stem, json) {
  return api(url, "PATCH", `/api/tasks/${encodeURIComponent(stem)}`, json);
}

/**
 * The page changes deadline, category and text while another client changes deadline, tags and text. Only what both
 * changed is shown, of the text only the lines.
 */
async function bothAreShown(page, url, title) {
  const stem = await makeIn(page, url, title);
  await openEdit(page, title);
  const dialog = dialogOf(page);
  await dialog.getByLabel("Frist").fill("2027-05-01");
  await dialog.getByRole("radio", { name: "Arbeit" }).check();
  await dialog.getByLabel("Text", { exact: true }).fill(`${LINES}\nmein Text`);
  const theirs = { deadline: "02.05.2027", tags: ["ihr"], body: `# ${title}\n\nihre Zeile\n${LINES}\nalt` };
  assert.equal((await change(url, stem, theirs)).status, 200);
  await tap(page, "Speichern");
  await dialog.getByRole("heading", { name: "Inzwischen geändert" }).waitFor();
  const part = (name) => dialog.getByRole("group", { name, exact: true });
  const values = (name) => part(name).getByRole("definition").allInnerTexts();
  assert.deepEqual(await values("Frist"), ["Samstag, 01.05.2027", "Sonntag, 02.05.2027"]);
  for (const name of ["Tags", "Kategorie"]) assert.equal(await part(name).count(), 0, `only one side changed ${name}`);
  const diff = await part("Text")
    .locator("pre > *")
    .evaluateAll((all) => all.map((it) => [it.localName, it.innerText.trim()]));
  assert.deepEqual(diff, [
    ["del", "ihre Zeile"],
    ["span", "Zeile 1"],
    ["span", "Zeile 2"],
    ["span", "… 5 gleiche Zeilen"],
    ["span", "Zeile 8"],
    ["span", "Zeile 9"],
    ["del", "alt"],
    ["ins", "mein Text"],
  ]);
  return stem;
}

async function makeIn(page, url, title) {
  const stem = await make(url, title, { fixedSlot: null, tags: ["mein"], body: `# ${title}\n\n${LINES}\nalt` });
  await page.goto(`${url}#/?q=${encodeURIComponent(title)}`);
  return stem;
}

function fields({ deadline, tags, body }) {
  return [deadline, tags.join(), body.split("\n").at(-1)];
}

/** Both changes stand, and nobody is asked. */
async function differentFieldsAreNoConflict(page, url) {
  const stem = await makeIn(page, url, "Jeder etwas");
  await openEdit(page, "Jeder etwas");
  await dialogOf(page).getByLabel("Frist").fill("2027-05-01");
  assert.equal((await change(url, stem, { tags: ["ihr"] })).status, 200);
  await tap(page, "Speichern");
  await said(page, "„Jeder etwas“ ist gespeichert.");
  assert.deepEqual(fields(await task(url, stem)), ["01.05.2027", "ihr", "alt"]);
  await tap(page, "Schließen");
  await dismissAll(page);
}

/** Saving is tried three times, each on top of a strong read, and the form stays as it is. */
async function whoIsAlwaysLaterIsToldSo(page, url) {
  const stem = await makeIn(page, url, "Immer zu spät");
  await openEdit(page, "Immer zu spät");
  const dialog = dialogOf(page);
  await dialog.getByLabel("Frist").fill("2027-05-01");
  await dialog.locator("textarea").evaluate((it) => (globalThis.mark = it));
  const asked = [];
  const note = (request) =>
    request.url().includes("Immer") && asked.push(`${request.method()} ${request.headers()["cache-control"]}`);
  page.on("request", note);
  const refused = {
    status: 412,
    contentType: "application/json; charset=utf-8",
    body: JSON.stringify({ ok: false, code: "precondition_failed", error: "…" }),
  };
  const address = `**/api/tasks/${encodeURIComponent(stem)}`;
  await page.route(address, (route) =>
    route.request().method() === "PATCH" ? route.fulfill(refused) : route.fallback(),
  );
  await tap(page, "Speichern");
  await dialog.getByText("Die Aufgabe hat sich inzwischen geändert.").waitFor();
  page.off("request", note);
  await page.unroute(address);
  const write = "PATCH undefined";
  assert.deepEqual(asked, [write, "GET no-cache", write, "GET no-cache", write]);
  assert.ok(await page.evaluate(() => globalThis.mark.isConnected), "the form wasn't drawn anew");
  await tap(page, "Speichern");
  await said(page, "„Immer zu spät“ ist gespeichert.");
  await tap(page, "Schließen");
  await dismissAll(page);
}

async function mineStaysWithTheirOtherFields(page, url) {
  const stem = await bothAreShown(page, url, "Meine bleibt");
  await isSound(page, "a conflict");
  await picture(page, "conflict");
  await tap(page, "Meine behalten");
  await said(page, "„Meine bleibt“ ist gespeichert.");
  assert.deepEqual(fields(await task(url, stem)), ["01.05.2027", "ihr", "mein Text"]);
  await tap(page, "Schließen");
  await dismissAll(page);
}

async function theirsIsTaken(page, url) {
  const stem = await bothAreShown(page, url, "Ihre gilt");
  await tap(page, "Andere übernehmen");
  await dialogOf(page).getByText("Sonntag, 02.05.2027").waitFor();
  assert.deepEqual(fields(await task(url, stem)), ["02.05.2027", "ihr", "alt"]);
  await tap(page, "Schließen");
}

async function editingGoesOn(page, url) {
  const stem = await bothAreShown(page, url, "Weiter geht es");
  await tap(page, "Weiter bearbeiten");
  const dialog = dialogOf(page);
  assert.equal(
    await dialog.getByLabel("Text", { exact: true }).inputValue(),
    `${LINES}\nmein Text`,
  );
  await dialog.getByLabel("Frist").fill("2027-05-03");
  await tap(page, "Speichern");
  await said(page, "„Weiter geht es“ ist gespeichert.");
  assert.deepEqual(fields(await task(url, stem)), ["03.05.2027", "ihr", "mein Text"]);
  await tap(page, "Schließen");
  await dismissAll(page);
}

async function aSecondChangeMeanwhileIsAConflictAgain(page, url) {
  const stem = await bothAreShown(page, url, "Noch einmal");
  await change(url, stem, { deadline: "09.05.2027" });
  await tap(page, "Meine behalten");
  const dialog = dialogOf(page);
  await dialog.getByRole("definition").getByText("Sonntag, 09.05.2027").waitFor();
  assert.equal((await task(url, stem)).deadline, "09.05.2027", "nothing was written over it");
  await tap(page, "Meine behalten");
  await said(page, "„Noch einmal“ ist gespeichert.");
  assert.deepEqual(fields(await task(url, stem)), ["01.05.2027", "ihr", "mein Text"]);
}
