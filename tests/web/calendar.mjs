// The address of the calendar is got, used by a program, and ended.
import assert from "node:assert/strict";
import { dialogOf, make, said, tap } from "./steps.mjs";
import { LOCALES, SIZES, isSound, person, picture, scenario, visit } from "./support.mjs";

const get = async (address) => {
  const answer = await fetch(address);
  return { status: answer.status, text: await answer.text() };
};

await scenario("calendar", async ({ browser, urls: [url] }) => {
  await make(url, "Chorfreizeit");
  const page = await visit(browser, url, { permissions: ["clipboard-read", "clipboard-write"] });
  await page.getByRole("link", { name: "Kalender", exact: true }).click();
  const dialog = dialogOf(page);
  await dialog.getByText("Wer die Adresse kennt, liest mit").waitFor();
  await tap(page, "Neue Adresse");
  const address = dialog.getByLabel("Adresse", { exact: true });
  const first = await address.inputValue();
  const feed = await get(first);
  assert.equal(feed.status, 200);
  assert.ok(feed.text.includes("SUMMARY:Chorfreizeit"), feed.text);
  await tap(page, "Kopieren");
  await said(page, "Die Adresse ist kopiert.");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), first);
  assert.equal(
    await dialog.getByRole("link", { name: "Im Kalender abonnieren" }).getAttribute("href"),
    first.replace("http:", "webcal:"),
  );
  await picture(page, "calendar");
  await tap(page, "Neue Adresse");
  await page.waitForFunction((it) => document.querySelector("#field-address").value !== it, first);
  const second = await address.inputValue();
  assert.deepEqual([(await get(first)).status, (await get(second)).status], [404, 200], "a new one ends the first");
  await tap(page, "Adresse beenden");
  await dialog.getByText("nichts mehr zu sehen").waitFor();
  assert.equal((await get(second)).status, 404);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  for (const lang of Object.keys(LOCALES))
    for (const size of Object.keys(SIZES))
      for (const colorScheme of ["light", "dark"]) {
        const other = await (await person(browser, { lang, size, colorScheme })).newPage();
        await other.goto(`${url}#/calendar`);
        await other.getByRole("button", { name: { de: "Neue Adresse", en: "New address" }[lang] }).click();
        await other.locator("#field-address").waitFor();
        await isSound(other, `calendar ${lang} ${size} ${colorScheme}`);
        await other.context().close();
      }
});
