// Overdue, planned after the deadline, and due soon without a place are three things, in words and looks; and after each
// change the page says where the task went.
import assert from "node:assert/strict";
import { complete, dialogOf, dismissAll, make, openNew, said, shows, tap } from "./steps.mjs";
import { LOCALES, SIZES, api, eventually, isSound, picture, scenario, visit } from "./support.mjs";

const WORDS = {
  de: {
    strip: "Braucht Aufmerksamkeit",
    overdue: /^überfällig, Frist war \p{L}{2} \d+\. \p{L}{3}( \d{4})?$/u,
    late: /^Frist \p{L}{2} \d+\. \p{L}{3}( \d{4})?, geplant erst \p{L}{2} \d+\. \p{L}{3}( \d{4})?, abends$/u,
    placeless: /^Frist \p{L}{2} \d+\. \p{L}{3}( \d{4})?, kein Platz$/u,
    card: { overdue: "überfällig", late: "erst danach geplant", placeless: "noch ohne Platz" },
    wrong: "Frist verpasst",
    search: "Aufgaben suchen",
  },
  en: {
    strip: "Needs attention",
    overdue: /^overdue, was due \w{3} \d+ \w{3}( \d{4})?$/,
    late: /^due \w{3} \d+ \w{3}( \d{4})?, but planned for \w{3} \d+ \w{3}( \d{4})?, evening$/,
    placeless: /^due \w{3} \d+ \w{3}( \d{4})?, no place$/,
    card: { overdue: "overdue", late: "planned after it", placeless: "no place yet" },
    wrong: "deadline missed",
    search: "Search tasks",
  },
};
const KINDS = ["overdue", "late", "placeless"];
const TITLES = { overdue: "Längst fällig", late: "Zu spät gesetzt", placeless: "Findet keinen Platz" };

await scenario("attention", async ({ browser, urls: [url] }) => {
  await prepare(url);
  for (const lang of Object.keys(LOCALES))
    for (const size of Object.keys(SIZES))
      for (const colorScheme of ["light", "dark"]) {
        const page = await visit(browser, url, { lang, size, colorScheme });
        const name = `attention-${size}-${colorScheme}`;
        await theStrip(page, WORDS[lang]);
        await isSound(page, `${name} ${lang}`);
        if (lang === "de") await picture(page, name);
        await theSearch(page, WORDS[lang]);
        await isSound(page, `${name} ${lang}, search`);
        if (lang === "de") await picture(page, `${name}-search`);
        await page.context().close();
      }
  const page = await visit(browser, url);
  await theStripLeadsToTheTask(page);
  await aCompletedOneStaysInTheStripForAWhile(page);
  await whereItWent(page, url);
});

/** A day as in task files, `after` days after the week's first. */
async function dayOf(url, after) {
  const { json } = await api(url, "GET", "/codex");
  const date = new Date(`${json.weekStart.split(".").reverse().join("-")}T12:00:00Z`);
  date.setUTCDate(date.getUTCDate() + after);
  return date.toISOString().slice(0, 10).split("-").reverse().join(".");
}

/** Completes all tasks of the demo, and makes one of each kind and some with nothing wrong. */
async function prepare(url) {
  const { json } = await api(url, "GET", "/api/tasks");
  for (const { filename } of json.tasks)
    await api(url, "POST", `/api/tasks/${encodeURIComponent(filename.replace(/\.md$/, ""))}/complete`);
  const [yesterday, tomorrow, third, fourth] = await Promise.all([-1, 1, 3, 4].map((it) => dayOf(url, it)));
  const evening = (datum) => ({ datum, zeit: "abends" });
  // Of two with one slot the lower number has it.
  await make(url, "Hat den Platz", { fixedSlot: evening(fourth), deadline: fourth });
  await make(url, TITLES.placeless, { fixedSlot: evening(fourth), deadline: fourth });
  await make(url, TITLES.late, { fixedSlot: evening(third), deadline: tomorrow });
  await make(url, TITLES.overdue, { fixedSlot: null, kategorie: "arbeit", deadline: yesterday });
  await make(url, "In der Zeit", { fixedSlot: null, kategorie: "arbeit", deadline: tomorrow });
  await make(url, "Irgendwann", { fixedSlot: null });
}

async function theStrip(page, words) {
  const strip = page.getByRole("region", { name: words.strip });
  assert.equal(await strip.getByRole("heading").innerText(), `${words.strip} (3)`);
  const rows = await strip.getByRole("link").evaluateAll((all) => all.map((it) => it.innerText.split(/\s*\n\s*/)));
  assert.deepEqual(
    rows.map(([title]) => title),
    KINDS.map((kind) => TITLES[kind]),
    "by deadline",
  );
  for (const [at, kind] of KINDS.entries()) assert.match(rows[at][1], words[kind]);
  const week = page.locator(".week, .list");
  for (const kind of KINDS) await warns(week, words, kind);
  const fine = page.getByRole("article").filter({ hasText: "In der Zeit" });
  assert.equal(await fine.locator(".warn").count(), 0, "due tomorrow and planned before: nothing is wrong");
  assert.ok(!(await page.locator("body").innerText()).includes(words.wrong));
  const looks = await Promise.all(KINDS.map((kind) => look(strip.locator(`.warn.${kind}`))));
  assert.equal(new Set(looks).size, 3, `${looks}`);
}

/** The card of the kind says so, and nothing else. */
async function warns(within, words, kind) {
  const card = within.getByRole("article").filter({ hasText: TITLES[kind] });
  const text = await card.locator(".warn").innerText();
  for (const other of KINDS) assert.equal(text.includes(words.card[other]), other === kind, text);
}

function look(locator) {
  return locator.evaluate((it) => {
    const { color, backgroundColor, borderStyle } = getComputedStyle(it);
    return [color, backgroundColor, borderStyle].join(" ");
  });
}

async function theSearch(page, words) {
  const box = page.getByRole("searchbox", { name: words.search });
  for (const kind of KINDS) {
    await box.fill(TITLES[kind]);
    await page.locator(".found .warn").first().waitFor();
    await eventually("only this one", async () => (await page.locator(".found .card").count()) === 1);
    await warns(page.locator(".found"), words, kind);
  }
}

async function theStripLeadsToTheTask(page) {
  await page.getByRole("region", { name: "Braucht Aufmerksamkeit" }).getByRole("link").first().click();
  const dialog = page.getByRole("dialog", { name: TITLES.overdue });
  await dialog.getByRole("definition").getByText("überfällig", { exact: true }).waitFor();
  await isSound(page, "an overdue task");
  await tap(page, "Schließen");
  await dialogOf(page).waitFor({ state: "hidden" });
}

/** Else the week below would move under the finger. */
async function aCompletedOneStaysInTheStripForAWhile(page) {
  const strip = page.getByRole("region", { name: "Braucht Aufmerksamkeit" });
  await complete(page, TITLES.overdue);
  await said(page, `„${TITLES.overdue}“ ist erledigt.`);
  assert.equal(await strip.getByRole("link").count(), 3);
  await strip.getByRole("heading", { name: "Braucht Aufmerksamkeit (2)" }).waitFor();
  await dismissAll(page);
}

/** After creating and changing, a link says where the task is, and scrolls there. */
async function whereItWent(page, url) {
  const day = await dayOf(url, 5);
  const iso = day.split(".").reverse().join("-");
  await openNew(page);
  await dialogOf(page).getByLabel("Titel").fill("Wohin damit");
  await dialogOf(page).getByLabel("Fester Tag").fill(iso);
  await dialogOf(page).getByLabel("Tageszeit").selectOption("nachmittags");
  await tap(page, "Speichern");
  const link = page.locator("#messages").getByRole("link", { name: /^→ \p{L}{2} \d+\. \p{L}{3}.*, nachmittags$/u });
  await link.waitFor();
  await picture(page, "went-to");
  await isSound(page, "where it went");
  await link.click();
  const focused = () => page.evaluate(() => document.activeElement.textContent);
  await eventually("its title has the focus", async () => (await focused()) === "Wohin damit");
  const title = page.getByRole("link", { name: "Wohin damit", exact: true });
  await eventually("it is in view", () =>
    title.evaluate((it) => {
      const { top, bottom } = it.getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight;
    }),
  );
  await dismissAll(page);
  // Without a place: its slot is taken.
  await openNew(page);
  await dialogOf(page).getByLabel("Titel").fill("Nirgendwohin");
  await dialogOf(page).getByLabel("Fester Tag").fill(iso);
  await dialogOf(page).getByLabel("Tageszeit").selectOption("nachmittags");
  await tap(page, "Speichern");
  await page
    .locator("#messages")
    .getByRole("link", { name: /^kein Platz: Der Termin gehört schon \d{4}-Wohin-damit\.$/ })
    .click();
  await eventually("its title has the focus", async () => (await focused()) === "Nirgendwohin");
  await dismissAll(page);
  // Its slot is after the week: that isn't no place.
  await openNew(page);
  await dialogOf(page).getByLabel("Titel").fill("Viel später");
  await dialogOf(page).getByLabel("Fester Tag").fill("2030-12-24");
  await dialogOf(page).getByLabel("Tageszeit").selectOption("abends");
  await tap(page, "Speichern");
  await page.locator("#messages").getByRole("link", { name: "→ Di 24. Dez 2030, abends", exact: true }).click();
  await eventually("its title has the focus", async () => (await focused()) === "Viel später");
  await dismissAll(page);
  // A change moves it; the link closes the task's view.
  await title.click();
  await dialogOf(page).getByRole("link", { name: "Bearbeiten" }).click();
  await dialogOf(page).getByLabel("Tageszeit").selectOption("morgens");
  await tap(page, "Speichern");
  await page
    .locator("#messages")
    .getByRole("link", { name: /^→ .*, morgens$/ })
    .click();
  await dialogOf(page).waitFor({ state: "hidden" });
  await eventually("its title has the focus", async () => (await focused()) === "Wohin damit");
  await shows(page, "Nirgendwohin");
}
