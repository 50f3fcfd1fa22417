// The demo's week: its contents, in every size, scheme and language.
import assert from "node:assert/strict";
import { LOCALES, SIZES, api, isSound, picture, scenario, visit } from "./support.mjs";

const WORDS = {
  de: {
    week: "Woche",
    today: "Heute, ",
    now: "jetzt dran",
    task: "Angebot für Stadtwerke fertigstellen",
    unplaced: "Ohne Platz",
    unreadable: "Nicht lesbar",
    line: "Zeile 5: Der Kopf ist kein gültiges YAML.",
    asOf: /^Stand \d\d\.\d\d\., \d\d:\d\d, aus dem Speicher$/,
    attention: "Braucht Aufmerksamkeit",
    late: "erst danach geplant",
    overdue: "überfällig",
    fixed: "fester Termin",
    taken: "Der Termin gehört schon 0003-Teamrunde.",
    full: "In dieser Woche ist nichts mehr frei.",
    days: ["Sonntag", "Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"],
    slots: { morgens: "Morgens", nachmittags: "Nachmittags", abends: "Abends" },
    create: "Neue Aufgabe",
    search: "Aufgaben suchen",
  },
  en: {
    week: "Week",
    today: "Today, ",
    now: "up now",
    task: "Angebot für Stadtwerke fertigstellen",
    unplaced: "No place",
    unreadable: "Not readable",
    line: /^line 5: /,
    asOf: /^As of \d\d\/\d\d, \d\d:\d\d, from memory$/,
    attention: "Needs attention",
    late: "planned after it",
    overdue: "overdue",
    fixed: "fixed",
    taken: "Its slot is taken by 0003-Teamrunde.",
    full: "Nothing is free this week.",
    days: ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"],
    slots: { morgens: "Morning", nachmittags: "Afternoon", abends: "Evening" },
    create: "New task",
    search: "Search tasks",
  },
};

await scenario("week", async ({ browser, urls: [url] }) => {
  const { json: week } = await api(url, "GET", "/codex");
  for (const lang of Object.keys(LOCALES)) {
    for (const size of Object.keys(SIZES)) {
      for (const colorScheme of ["light", "dark"]) {
        const page = await visit(browser, url, { lang, size, colorScheme });
        assert.equal(await page.locator("html").getAttribute("lang"), lang);
        await showsAll(page, week, WORDS[lang]);
        const name = `${size} ${colorScheme} ${lang}`;
        await isSound(page, `week, ${name}`);
        if (lang === "de") await picture(page, `week-${size}-${colorScheme}`);
        await aTask(page, WORDS[lang], name);
        await page.context().close();
      }
    }
  }
});

/** The page shows everything in the document, as words. */
async function showsAll(page, week, words) {
  const days = page.getByRole("region", { name: words.week, exact: true }).getByRole("region");
  assert.equal(await days.count(), week.timeline.length);
  for (const [at, day] of week.timeline.entries()) {
    const shown = days.nth(at);
    const isToday = day.datum === week.weekStart;
    const heading = `${isToday ? words.today : ""}${words.days[day.dayOfWeek]}, ${day.datum}`;
    assert.equal(await shown.getByRole("heading").innerText(), heading);
    assert.equal(await shown.getAttribute("aria-current"), isToday ? "date" : null);
    const slots = shown.locator("li");
    assert.equal(await slots.count(), day.slots.length);
    for (const [index, { zeit, task }] of day.slots.entries()) {
      const slot = slots.nth(index);
      const text = await slot.innerText();
      assert.ok(text.startsWith(words.slots[zeit]), text);
      const current = isToday && index === 0;
      assert.deepEqual(
        [await slot.getAttribute("aria-current"), text.includes(words.now)],
        [current ? "time" : null, current],
      );
      if (task) showsTask(text, task, { ...words, isOverdue: isoOf(task.deadline) < isoOf(week.weekStart) });
    }
  }
  const unplaced = page.getByRole("region", { name: words.unplaced });
  assert.equal(await unplaced.getByRole("listitem").count(), week.unplaced.length);
  const why = await unplaced.innerText();
  assert.ok(why.includes(words.taken) && why.includes(words.full), why);
  const unreadable = page.getByRole("region", { name: words.unreadable });
  await unreadable.getByRole("link", { name: "0031-Garage-aufräumen" }).waitFor();
  await unreadable.getByText(words.line).waitFor();
  await page.locator("#as-of", { hasText: words.asOf }).waitFor();
}

function isoOf(datum) {
  return datum?.split(".").reverse().join("-");
}

function showsTask(text, task, words) {
  for (const part of [task.id, task.title, ...task.tags, task.deadline ?? ""])
    assert.ok(text.includes(part), `${part}: ${text}`);
  assert.deepEqual(
    [text.includes(words.overdue), text.includes(words.late), text.includes(words.fixed)],
    [words.isOverdue, task.deadlineMissed && !words.isOverdue, task.isFixed],
    text,
  );
}

async function aTask(page, words, name) {
  await page.getByRole("link", { name: words.task, exact: true }).click();
  const dialog = page.getByRole("dialog", { name: words.task });
  await dialog.getByText("Anhang B ergänzen").waitFor();
  await isSound(page, `task, ${name}`);
  await picture(page, `task-${name.replaceAll(" ", "-")}`);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  await page.getByRole("link", { name: words.create, exact: true }).click();
  await page.getByRole("dialog", { name: words.create }).waitFor();
  await isSound(page, `form, ${name}`);
  await page.keyboard.press("Escape");
  await page.getByRole("searchbox", { name: words.search }).fill("quartal");
  await page.getByRole("article").getByText("Quartalszahlen").waitFor();
  await isSound(page, `search, ${name}`);
}
