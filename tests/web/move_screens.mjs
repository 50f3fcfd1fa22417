// Moving a task by touch; and how a drag, the menu, the choice and the question look on any screen.
import assert from "node:assert/strict";
import {
  areSent,
  cardOf,
  changes,
  choose,
  dragOver,
  isBack,
  lands,
  middleOf,
  MONDAY,
  over,
  prepare,
  slot,
  slotOf,
  THURSDAY,
  undo,
  wait,
  WEDNESDAY,
  WORDS,
} from "./move_steps.mjs";
import { calm, dialogOf, said, task } from "./steps.mjs";
import { LOCALES, SIZES, eventually, isSound, picture, scenario, visit } from "./support.mjs";

const RESTS = 500; // Longer than a finger must rest (ms).

await scenario("move_screens", async ({ browser, urls: [url] }) => {
  const stems = await prepare(url);
  await aFingerScrollsOrDrags(browser, url, stems);
  for (const lang of Object.keys(LOCALES))
    for (const size of Object.keys(SIZES))
      for (const colorScheme of ["light", "dark"]) await looksRight(browser, url, { lang, size, colorScheme });
});

/** A finger that moves at once scrolls, one that rests drags, and the page scrolls at its edges. */
async function aFingerScrollsOrDrags(browser, url, { Chorprobe }) {
  const page = await visit(browser, url, { size: "phone" });
  const cdp = await page.context().newCDPSession(page);
  const touch = (type, ...points) => cdp.send("Input.dispatchTouchEvent", { type, touchPoints: points });
  const scrolled = () => page.evaluate(() => scrollY);
  const { asked, stop } = changes(page);
  await calm(page);
  const start = await middleOf(cardOf(page, "Angebot").locator(".name a"));
  await touch("touchStart", start);
  for (let step = 1; step <= 10; step += 1) await touch("touchMove", { x: start.x, y: start.y - 20 * step });
  await touch("touchEnd");
  await eventually("it scrolls", async () => (await scrolled()) > 100);
  assert.equal(await page.locator(".ghost").count(), 0);
  await toTheTop(page);
  // A tap still opens the task.
  const at = await middleOf(cardOf(page, "Angebot").locator(".name a"));
  await Promise.all([touch("touchStart", at), touch("touchEnd")]);
  await dialogOf(page).waitFor();
  await page.keyboard.press("Escape");
  await dialogOf(page).waitFor({ state: "hidden" });
  await calm(page);
  await touch("touchStart", at);
  await wait(RESTS);
  await page.locator(".ghost").waitFor();
  const { width, height } = SIZES.phone.viewport;
  for (let step = 1; step <= 5; step += 1)
    await touch("touchMove", { x: width / 2, y: at.y + ((height - 20 - at.y) * step) / 5 });
  await eventually("it scrolls at the edge", async () => (await scrolled()) > 300);
  await picture(page, "move-touch");
  await touch("touchMove", { x: width / 2, y: height / 2 });
  await calm(page);
  const still = await scrolled();
  const target = slotOf(page, slot(WEDNESDAY, "abends"));
  const { y } = await middleOf(target);
  if (y < 80 || y > height - 80) {
    // Back, or further, to where the slot is in view.
    await touch("touchMove", { x: width / 2, y: y < 80 ? 20 : height - 20 });
    await eventually("the slot is in view", async () => {
      const now = await middleOf(target);
      return now.y > 100 && now.y < height - 100;
    });
    await touch("touchMove", { x: width / 2, y: height / 2 });
    await calm(page);
  } else assert.equal(await scrolled(), still, "it is still");
  const to = await middleOf(target);
  await touch("touchMove", { x: to.x, y: to.y });
  await page.locator(".ghost").getByText("→ Mi 2. Dez, abends").waitFor();
  await touch("touchEnd");
  await said(page, "„Angebot“ ist verschoben.");
  await wait(300);
  assert.equal(await dialogOf(page).count(), 0, "that was no tap");
  await areSent(asked, 1);
  await undo(page);
  await isBack(page, url, "Angebot");
  await toTheTop(page);
  const more = await middleOf(cardOf(page, "Angebot").getByRole("button", { name: "Verschieben: Angebot" }));
  await Promise.all([touch("touchStart", more), touch("touchEnd"), touch("touchStart", more), touch("touchEnd")]);
  await calm(page);
  await areSent(asked, 2, "two taps open the menu, and no more");
  await choose(page, "menuitem", /^Heute/, "tap");
  await said(page, "„Angebot“ ist verschoben.");
  await undo(page);
  await isBack(page, url, "Angebot");
  stop();
  assert.deepEqual((await task(url, Chorprobe)).fixedSlot, slot(THURSDAY, "abends"));
  await page.context().close();
}

/** What a finger scrolled may go on. */
function toTheTop(page) {
  return eventually("it is at the top", async () => {
    await page.evaluate(() => scrollTo(0, 0));
    await calm(page);
    return page.evaluate(() => scrollY === 0);
  });
}

/** In every size, scheme and language: a drag, the menu, the choice and the question. */
async function looksRight(browser, url, { lang, size, colorScheme }) {
  const page = await visit(browser, url, { lang, size, colorScheme });
  const words = WORDS[lang];
  const name = `${size}-${colorScheme}-${lang}`;
  const sound = async (what) => {
    await isSound(page, `${what}, ${name}`);
    await picture(page, `move-${what}-${name}`);
  };
  await calm(page);
  const card = cardOf(page, "Chorprobe");
  await card.scrollIntoViewIfNeeded();
  if (size === "desktop") {
    await dragOver(page, "Chorprobe", over(slot(MONDAY, "morgens")));
    assert.deepEqual(await lands(page), words.lands);
    await sound("drag");
    await page.keyboard.press("Escape");
    await page.mouse.up();
  }
  const open = async () => {
    await calm(page);
    await card.getByRole("button", { name: words.move("Chorprobe") }).click();
    await page.getByRole("menu").waitFor();
  };
  await open();
  await sound("menu");
  await choose(page, "menuitem", words.choose);
  await page.getByRole("dialog").locator("[type=date]").waitFor();
  await sound("choice");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await calm(page);
  await cardOf(page, "Angebot")
    .getByRole("button", { name: words.move("Angebot") })
    .click();
  await choose(page, "menuitem", words.choose);
  await page.getByRole("dialog").locator("[type=date]").fill("2026-12-03");
  await page.getByRole("dialog").locator("select").selectOption("abends");
  await page.getByRole("dialog").locator(".main").click();
  await page.getByRole("dialog", { name: words.taken }).waitFor();
  await sound("question");
  await page.context().close();
}
