// By keyboard alone: everything is reachable, the focus is visible, and it ends up in a sensible place.
import assert from "node:assert/strict";
import { dialogOf, said, titled } from "./steps.mjs";
import { LOCALES, SIZES, eventually, isSound, picture, scenario, visit } from "./support.mjs";

await scenario("keyboard", async ({ browser, urls: [url] }) => {
  const page = await visit(browser, url);
  await completingAndUndoing(page, url);
  await creating(page, url);
  await aDraftOutlivesTheForm(page);
  await editingAndComingBack(page, url);
  await searching(page);
  await aLateSearchClosesNoForm(page);
  await skipping(page);
  await theKeys(page, url);
  await theListOfKeys(browser, url);
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
  // In the week or, later in a day, below it.
  await page.getByRole("link", { name: "Rechnungen freigeben", exact: true }).waitFor({ state: "detached" });
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

/** What was typed is searched when the field is left, not over a form that was opened then. */
async function aLateSearchClosesNoForm(page) {
  await page.keyboard.press("/");
  await page.keyboard.type("zahn");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await dialogOf(page).getByLabel("Titel").waitFor();
  // Longer than a search waits for the next letter.
  await new Promise((resume) => setTimeout(resume, 500));
  assert.ok(await dialogOf(page).isVisible());
  await page.keyboard.press("Escape");
  await dialogOf(page).waitFor({ state: "hidden" });
  await page.getByRole("region", { name: "Gefundene Aufgaben" }).getByText("Zahnarzt").waitFor();
  await page.getByRole("searchbox").fill("");
  await page.getByRole("region", { name: "Woche", exact: true }).waitFor();
}

async function skipping(page) {
  await page.reload();
  await page.getByRole("article").first().waitFor();
  await page.keyboard.press("Tab");
  const at = await focused(page);
  assert.deepEqual([at.name, at.seen], ["Zu den Aufgaben", true]);
  await page.keyboard.press("Enter");
  assert.equal((await focused(page)).tag, "main");
  assert.doesNotMatch(page.url(), /main/);
}

/** One key each, from anywhere but a field. */
async function theKeys(page, url) {
  const titles = await page.locator(".card .name a").allInnerTexts();
  const isAt = async (index, key) => assert.equal((await focused(page)).name, titles[index], key);
  for (const [key, index] of [
    ["j", 0],
    ["j", 1],
    ["ArrowDown", 2],
    ["ArrowUp", 1],
    ["k", 0],
    ["k", 0],
  ]) {
    await page.keyboard.press(key);
    await isAt(index, key);
  }
  await page.keyboard.press("e");
  await dialogOf(page).getByLabel("Text", { exact: true }).waitFor();
  await page.keyboard.press("Escape");
  await dialogOf(page).waitFor({ state: "hidden" });
  await isAt(0, "back where it was opened");
  await page.keyboard.press("Control+x");
  await page.keyboard.press("x");
  await said(page, `„${titles[0]}“ ist erledigt.`);
  assert.equal((await titled(url, titles[0]))[0].status, "abgeschlossen");
  await page.getByRole("button", { name: `Rückgängig: ${titles[0]}`, exact: true }).click();
  await said(page, `„${titles[0]}“ ist wieder offen.`);
  await page.keyboard.press("/");
  assert.equal((await focused(page)).name, "Aufgaben suchen");
  await page.keyboard.type("jxe");
  assert.equal(await page.getByRole("searchbox").inputValue(), "jxe", "in a field they are letters");
  await page.getByRole("searchbox").fill("");
  await page.getByRole("region", { name: "Woche", exact: true }).waitFor();
  await tabTo(page, "Neue Aufgabe", "Shift+Tab");
  await page.keyboard.press("Enter");
  await dialogOf(page).waitFor();
  await page.keyboard.type("Ohne Maus");
  await dialogOf(page).getByLabel("Text", { exact: true }).focus();
  await page.keyboard.type("Erste Zeile");
  await page.keyboard.press("Enter");
  await page.keyboard.type("Zweite Zeile");
  await page.keyboard.press("Control+Enter");
  await said(page, "„Ohne Maus“ ist angelegt.");
  await dialogOf(page).waitFor({ state: "hidden" });
  assert.equal((await titled(url, "Ohne Maus")).length, 1);
}

async function theListOfKeys(browser, url) {
  const names = { de: "Tasten", en: "Keys" };
  for (const lang of Object.keys(LOCALES))
    for (const size of Object.keys(SIZES)) {
      const page = await visit(browser, url, { lang, size });
      await page.keyboard.press("?");
      const dialog = page.getByRole("dialog", { name: names[lang] });
      await dialog.waitFor();
      await isSound(page, `the list of keys, ${lang} ${size}`);
      if (lang === "de") await picture(page, `keys-${size}`);
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "hidden" });
      await eventually("the address is that of the week", () => /\/(#\/)?$/.test(page.url()));
      await page.context().close();
    }
}
