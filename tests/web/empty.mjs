// A week without a task says what a task is and where it goes, and how to begin.
import assert from "node:assert/strict";
import { said } from "./steps.mjs";
import { LOCALES, SIZES, api, isSound, person, picture, scenario } from "./support.mjs";

const WORDS = {
  de: { heading: "Hier ist noch nichts zu tun", first: "Erste Aufgabe anlegen", line: "Schnell anlegen" },
  en: { heading: "There is nothing to do yet", first: "Add the first task", line: "Quick add" },
};

await scenario("empty", async ({ browser, urls: [url] }) => {
  for (const lang of Object.keys(LOCALES))
    for (const size of Object.keys(SIZES))
      for (const colorScheme of ["light", "dark"]) {
        const page = await (await person(browser, { lang, size, colorScheme })).newPage();
        await page.goto(url);
        const teaching = page.getByRole("region", { name: WORDS[lang].heading });
        await teaching.waitFor();
        assert.equal(await teaching.getByRole("listitem").count(), 2);
        await isSound(page, `an empty week, ${lang} ${size} ${colorScheme}`);
        if (lang === "de") await picture(page, `empty-${size}-${colorScheme}`);
        await teaching.getByRole("button", { name: WORDS[lang].first }).click();
        const line = page.getByRole("textbox", { name: WORDS[lang].line });
        assert.ok(await line.evaluate((it) => it === document.activeElement), "the line has the focus");
        await page.context().close();
      }
  await samplesCanBeTried(browser, url);
  const page = await (await person(browser)).newPage();
  await page.goto(url);
  await page.getByRole("button", { name: WORDS.de.first }).click();
  await page.keyboard.type("Blumen gießen morgen @arbeit");
  await page.keyboard.press("Enter");
  await said(page, "„Blumen gießen“ ist angelegt.");
  await page.getByRole("article").waitFor();
  assert.equal(await page.locator(".teaching").count(), 0);
});

/** In both languages; a second press makes no more of them. Then they are deleted. */
async function samplesCanBeTried(browser, url) {
  for (const [lang, label] of [
    ["de", "Mit Beispielen ausprobieren"],
    ["en", "Try it with samples"],
  ]) {
    const page = await (await person(browser, { lang })).newPage();
    await page.goto(url);
    await page.getByRole("button", { name: label }).dblclick();
    await page.getByRole("article").nth(3).waitFor();
    assert.equal(await page.locator(".teaching").count(), 0);
    const { tasks } = (await api(url, "GET", "/api/tasks", undefined, { "Cache-Control": "no-cache" })).json;
    assert.deepEqual(
      tasks.map(({ kategorie, fixedSlot, deadline, tags }) => [
        kategorie,
        fixedSlot !== null,
        deadline !== null,
        tags.length,
      ]),
      [
        ["privat", true, false, 1],
        ["arbeit", false, true, 1],
        ["arbeit", false, false, 0],
        ["privat", false, false, 0],
      ],
    );
    for (const { filename } of tasks)
      await api(url, "DELETE", `/api/tasks/${encodeURIComponent(filename.replace(/\.md$/, ""))}`);
    await page.context().close();
  }
}
