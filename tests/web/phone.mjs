// On small screens: areas that a finger hits, filters behind one button, a form's buttons in reach, and the first task
// on the first screen.
import assert from "node:assert/strict";
import { dialogOf, make, tap } from "./steps.mjs";
import { SIZES, isSound, picture, scenario, visit } from "./support.mjs";

const AREA = 44; // px

await scenario("phone", async ({ browser, urls: [url] }) => {
  await make(url, "Ohne Frist", { fixedSlot: null, tags: ["lang ".repeat(30).trim(), "x".repeat(60)] });
  for (const size of ["device", "phone"]) {
    const page = await visit(browser, url, { size, hasTouch: true });
    await theFirstTaskIsOnTheFirstScreen(page, size);
    await aFingerHitsTheCircle(page);
    await theFiltersAreBehindOneButton(page, size);
    await theButtonsOfAFormAreInReach(page, size);
    await page.context().close();
  }
  const page = await visit(browser, url);
  assert.ok(!(await page.getByRole("button", { name: "Filter", exact: true }).isVisible()), "there is room");
  assert.ok(await page.getByLabel("Status").isVisible());
});

async function theFirstTaskIsOnTheFirstScreen(page, size) {
  const { x, y, width, height } = await page.locator(".card .name a").first().boundingBox();
  const { viewport } = SIZES[size];
  assert.ok(x >= 0 && x + width <= viewport.width && y + height <= viewport.height, `${size}: ${y + height} px`);
  await picture(page, `first-screen-${size}`);
}

async function aFingerHitsTheCircle(page) {
  const checks = await page.locator(".week .check").all();
  for (const check of checks.slice(0, 6)) {
    await check.scrollIntoViewIfNeeded();
    const isHit = await check.evaluate((it, area) => {
      const { x, y, width, height } = it.getBoundingClientRect();
      const near = area / 2 - 2;
      const middle = [x + width / 2, y + height / 2];
      return [
        [-near, 0],
        [near, 0],
        [0, -near],
        [0, near],
      ].every(([dx, dy]) => {
        const at = [middle[0] + dx, middle[1] + dy];
        return at[1] < 0 || at[1] > innerHeight || it === document.elementFromPoint(...at);
      });
    }, AREA);
    assert.ok(isHit, await check.getAttribute("aria-label"));
  }
}

async function theFiltersAreBehindOneButton(page, size) {
  const [button, status] = [page.getByRole("button", { name: "Filter", exact: true }), page.getByLabel("Status")];
  assert.ok(!(await status.isVisible()));
  await button.tap();
  assert.equal(await button.getAttribute("aria-expanded"), "true");
  await status.selectOption("alle");
  await page.locator(".found").waitFor();
  await isSound(page, `filters, ${size}`);
  await picture(page, `filters-${size}`);
  await button.tap();
  assert.ok(await status.isVisible(), "what leaves something out, or shows more, stays visible");
  await status.selectOption("offen");
  await page.locator(".week").waitFor();
  assert.ok(!(await status.isVisible()));
}

async function theButtonsOfAFormAreInReach(page, size) {
  await page.evaluate(() => (location.hash = "#/new"));
  await dialogOf(page).getByLabel("Titel").waitFor();
  await dialogOf(page).getByLabel("Text", { exact: true }).fill("Zeile\n".repeat(60));
  for (const top of [0, 10_000]) {
    await page.locator("dialog .content").evaluate((it, to) => (it.scrollTop = to), top);
    for (const name of ["Speichern", "Verwerfen"]) {
      const button = dialogOf(page).getByRole("button", { name, exact: true });
      const isOnTop = await button.evaluate((it) => {
        const { x, y, width, height } = it.getBoundingClientRect();
        const onTop = document.elementFromPoint(x + width / 2, y + height / 2);
        return y >= 0 && y + height <= innerHeight && it.contains(onTop);
      });
      assert.ok(isOnTop, `${size}: ${name}, scrolled to ${top}`);
    }
  }
  await isSound(page, `a form, ${size}`);
  await picture(page, `form-${size}`);
  await tap(page, "Verwerfen");
  await dialogOf(page).waitFor({ state: "hidden" });
}
