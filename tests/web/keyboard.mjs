// By keyboard alone: everything is reachable, the focus is visible, and it ends up in a sensible place.
import assert from "node:assert/strict";
import { dialogOf, said, titled } from "./steps.mjs";
import { scenario, visit } from "./support.mjs";

await scenario("keyboard", async ({ browser, urls: [url] }) => {
  const page = await visit(browser, url);
  await completingAndUndoing(page, url);
  await creating(page, url);
  await aDraftOutlivesTheForm(page);
  await editingAndComingBack(page, url);
  await searching(page);
});

function focused(page) {
  return page.evaluate(() => {
    const { activeElement } = document;
    const { outlineStyle, outlineWidth } = getComputedStyle(activeElement);
    return {
      name: activeElement.ariaLabel ?? activeElement.labels?.[0]?.innerText ?? activeElement.innerText.trim(),
      tag: activeElement.localName,
      seen: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2,
    };
  });
}

/** Presses Tab until `name` has the focus, which must be visible at every step. */
async function tabTo(page, name, key = "Tab") {
  for (let step = 0; step < 200; step += 1) {
    await page.keyboard.press(key);
    const at = await focused(page);
    if (at.tag === "body") continue;
    assert.ok(at.seen, `the focus is seen at ${JSON.stringify(at)}`);
    if (at.name === name) return;
  }
  assert.fail(`${name} isn't reached`);
}

async function completingAndUndoing(page, url) {
  await tabTo(page, "Erledigen: Rechnungen freigeben");
  await page.keyboard.press("Space");
  await said(page, "„Rechnungen freigeben“ ist erledigt.");
  await page.getByRole("region", { name: "Woche" }).getByText("Rechnungen freigeben").waitFor({ state: "detached" });
  assert.equal((await focused(page)).tag, "main", "not lost with the task");
  await tabTo(page, "Rückgängig", "Shift+Tab");
  await page.keyboard.press("Enter");
  await said(page, "„Rechnungen freigeben“ ist wieder offen.");
  assert.equal((await titled(url, "Rechnungen freigeben"))[0].status, "offen");
}

async function creating(page, url) {
  await tabTo(page, "Neue Aufgabe");
  await page.keyboard.press("Enter");
  await dialogOf(page).waitFor();
  assert.equal((await focused(page)).name, "Titel");
  await page.keyboard.type("Mit der Tastatur");
  await tabTo(page, "Arbeit");
  await page.keyboard.press("ArrowRight");
  await tabTo(page, "Tags");
  await page.keyboard.type("flink");
  await page.keyboard.press("Enter");
  await tabTo(page, "Text");
  await page.keyboard.type("Ein Satz.");
  await tabTo(page, "Speichern");
  await page.keyboard.press("Enter");
  await said(page, "„Mit der Tastatur“ ist angelegt.");
  const [made] = await titled(url, "Mit der Tastatur");
  assert.deepEqual([made.kategorie, made.tags], ["privat", ["flink"]]);
  await dialogOf(page).waitFor({ state: "hidden" });
  assert.equal((await focused(page)).name, "Neue Aufgabe", "back where it was opened");
}

async function aDraftOutlivesTheForm(page) {
  await page.keyboard.press("Enter");
  await dialogOf(page).waitFor();
  await page.keyboard.type("Halb fertig");
  // Two quick presses go back one step only.
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await dialogOf(page).waitFor({ state: "hidden" });
  assert.match(page.url(), /\/(#\/)?$/);
  await page.keyboard.press("Enter");
  await dialogOf(page).getByText("Das ist dein Entwurf von vorhin.").waitFor();
  assert.equal(await dialogOf(page).getByLabel("Titel").inputValue(), "Halb fertig");
  await tabTo(page, "Verwerfen");
  await page.keyboard.press("Enter");
  await dialogOf(page).waitFor({ state: "hidden" });
  await page.keyboard.press("Enter");
  await dialogOf(page).waitFor();
  assert.equal(await dialogOf(page).getByLabel("Titel").inputValue(), "");
  await page.keyboard.press("Escape");
  await dialogOf(page).waitFor({ state: "hidden" });
}

async function editingAndComingBack(page, url) {
  await tabTo(page, "Teamrunde");
  await page.keyboard.press("Enter");
  await dialogOf(page).getByText("besprechung").waitFor();
  await tabTo(page, "Bearbeiten");
  await page.keyboard.press("Enter");
  await dialogOf(page).getByLabel("Text", { exact: true }).waitFor();
  await tabTo(page, "Text");
  await page.keyboard.press("Control+End");
  await page.keyboard.type("Kuchen!");
  await tabTo(page, "Speichern");
  await page.keyboard.press("Enter");
  await said(page, "„Teamrunde“ ist gespeichert.");
  await dialogOf(page).getByText("Kuchen!").waitFor();
  await page.keyboard.press("Escape");
  await dialogOf(page).waitFor({ state: "hidden" });
  assert.equal((await focused(page)).name, "Teamrunde");
  assert.equal((await titled(url, "Teamrunde")).length, 1);
}

async function searching(page) {
  await tabTo(page, "Aufgaben suchen", "Shift+Tab");
  await page.keyboard.type("chor");
  await page.getByRole("region", { name: "Gefundene Aufgaben" }).getByText("Chorprobe").waitFor();
  assert.equal((await focused(page)).name, "Aufgaben suchen", "typing goes on");
  await tabTo(page, "Zurück zur Woche");
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "Woche" }).waitFor();
}
