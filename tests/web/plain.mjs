// Without JavaScript: the address redirects to the printable page, which is the same week on one sheet.
import assert from "node:assert/strict";
import { LOCALES, SIZES, api, isSound, person, picture, scenario } from "./support.mjs";

await scenario("plain", async ({ browser, urls: [url] }) => {
  const context = await person(browser, { javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(url);
  await page.waitForURL("**/codex?format=html");
  const { json: week } = await api(url, "GET", "/codex");
  const text = await page.locator("body").innerText();
  const tasks = week.timeline.flatMap(({ slots }) => slots.flatMap(({ task }) => task ?? []));
  for (const { title } of [...tasks, ...week.unplaced]) assert.ok(text.includes(title), title);
  assert.equal(sheets(await page.pdf({ format: "A4" })), 1, "one sheet");
  const sheet = await sheetOf(page);
  assert.ok(sheet.width > sheet.height, "landscape");
  const days = await page.locator(".week > section").evaluateAll((all) => all.map((it) => it.getBoundingClientRect().top));
  assert.equal(new Set(days).size, 1, "seven columns");
  await page.emulateMedia({ media: null });
  await page.getByRole("link", { name: "Mit Texten" }).click();
  const list = await sheetOf(page);
  assert.ok(list.width < list.height, "with texts a list on upright sheets");
  await inEverySizeSchemeAndLanguage(browser, url);
});

/** The size of the first sheet as the page wants it. The page stays as it is printed. */
async function sheetOf(page) {
  const pdf = await page.pdf({ preferCSSPageSize: true });
  const [, width, height] = pdf.toString("latin1").match(/\/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]/).map(Number);
  await page.setViewportSize({ width: Math.round(width * 4 / 3), height: Math.round(height * 4 / 3) });
  await page.emulateMedia({ media: "print" });
  return { width, height };
}

/** The number of pages of a PDF. */
function sheets(pdf) {
  return pdf.toString("latin1").match(/\/Type\s*\/Page[^s]/g).length;
}

async function inEverySizeSchemeAndLanguage(browser, url) {
  for (const lang of Object.keys(LOCALES)) {
    for (const size of Object.keys(SIZES)) {
      for (const colorScheme of ["light", "dark"]) {
        const context = await person(browser, { lang, size, colorScheme });
        const page = await context.newPage();
        await page.goto(`${url}codex?format=html&bodies=true`);
        assert.equal(await page.locator("html").getAttribute("lang"), lang);
        await isSound(page, `printable page, ${lang} ${size} ${colorScheme}`);
        if (lang === "de" && size === "desktop" && colorScheme === "light") await picture(page, "plain");
        await context.close();
      }
    }
  }
}
