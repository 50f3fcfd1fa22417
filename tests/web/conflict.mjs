// Two users change one task: the later one sees both versions and decides.
import assert from "node:assert/strict";
import { dialogOf, dismissAll, make, openEdit, said, tap, task } from "./steps.mjs";
import { api, isSound, picture, scenario, visit } from "./support.mjs";

await scenario("conflict", async ({ browser, urls: [url] }) => {
  const page = await visit(browser, url);
  await mineStaysWithTheirOtherFields(page, url);
  await theirsIsTaken(page, url);
  await editingGoesOn(page, url);
  await aSecondChangeMeanwhileIsAConflictAgain(page, url);
  for (const size of ["device", "phone"]) {
    const other = await visit(browser, url, { size, colorScheme: "dark" });
    await bothAreShown(other, url, `Konflikt ${size}`);
    await isSound(other, `a conflict, ${size}`);
    await other.context().close();
  }
});

function change(url, stem, json) {
  return api(url, "PATCH", `/api/tasks/${encodeURIComponent(stem)}`, json);
}

/** The page changes deadline and text while another client changes deadline and tags. */
async function bothAreShown(page, url, title) {
  const stem = await makeIn(page, url, title);
  await openEdit(page, title);
  const dialog = dialogOf(page);
  await dialog.getByLabel("Frist").fill("2027-05-01");
  await dialog.getByLabel("Text", { exact: true }).fill(`# ${title}\n\nmein Text`);
  assert.equal((await change(url, stem, { deadline: "02.05.2027", tags: ["ihr"] })).status, 200);
  await tap(page, "Speichern");
  await dialog.getByRole("heading", { name: "Inzwischen geändert" }).waitFor();
  const row = (name) => dialog.getByRole("row").filter({ hasText: name });
  assert.deepEqual(await row("Frist").getByRole("cell").allInnerTexts(), ["01.05.2027", "02.05.2027"]);
  assert.deepEqual(await row("Tags").getByRole("cell").allInnerTexts(), ["mein", "ihr"]);
  assert.deepEqual(await row("Text").getByRole("cell").allInnerTexts(), [
    `# ${title}\n\nmein Text`,
    `# ${title}\n\nalt`,
  ]);
  return stem;
}

async function makeIn(page, url, title) {
  const stem = await make(url, title, { fixedSlot: null, tags: ["mein"], body: `# ${title}\n\nalt` });
  await page.goto(`${url}#/?q=${encodeURIComponent(title)}`);
  return stem;
}

function fields({ deadline, tags, body }) {
  return [deadline, tags.join(), body.split("\n").at(-1)];
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
  assert.equal(await dialog.getByLabel("Text", { exact: true }).inputValue(), "# Weiter geht es\n\nmein Text");
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
  await dialog.getByRole("cell", { name: "09.05.2027" }).waitFor();
  assert.equal((await task(url, stem)).deadline, "09.05.2027", "nothing was written over it");
  await tap(page, "Meine behalten");
  await said(page, "„Noch einmal“ ist gespeichert.");
  assert.deepEqual(fields(await task(url, stem)), ["01.05.2027", "ihr", "mein Text"]);
}
