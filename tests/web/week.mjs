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
    days: ["So", "Mo", "Di", "Mi", "Do", "Fr", "Sa"],
    months: ["Jan", "Feb", "Mär", "Apr", "Mai", "Jun", "Jul", "Aug", "Sep", "Okt", "Nov", "Dez"],
    date: (day, number, month) => `${day} ${number}. ${month}`,
    due: "bis ",
    dueToday: "bis heute",
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
    days: ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"],
    months: ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
    date: (day, number, month) => `${day} ${number} ${month}`,
    due: "due ",
    dueToday: "due today",
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
    const heading = `${isToday ? words.today : ""}${nameOf(day.datum, week.weekStart, words)}`;
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
      if (task) showsTask(text, task, week.weekStart, words);
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

/** A day as in "Mo 30. Nov", with the year if it is another one. */
function nameOf(datum, today, { days, months, date }) {
  const [day, month, year] = datum.split(".").map(Number);
  const name = date(days[new Date(Date.UTC(year, month - 1, day)).getUTCDay()], day, months[month - 1]);
  return today.endsWith(year) ? name : `${name} ${year}`;
}

/** A deadline: in the next days the day's name is enough. */
function dueOf(datum, today, words) {
  const days = (Date.parse(isoOf(datum)) - Date.parse(isoOf(today))) / 86_400_000;
  if (days === 0) return words.dueToday;
  const name = nameOf(datum, today, words);
  return words.due + (days > 0 && days < 7 ? name.split(" ")[0] : name);
}

function showsTask(text, task, today, words) {
  const due = task.deadline ? dueOf(task.deadline, today, words) : "";
  for (const part of [task.id, task.title, ...task.tags, due]) assert.ok(text.includes(part), `${part}: ${text}`);
  const isOverdue = Boolean(task.deadline) && isoOf(task.deadline) < isoOf(today);
  assert.deepEqual(
    [text.includes(words.overdue), text.includes(words.late), text.includes(words.fixed)],
    [isOverdue, task.deadlineMissed && !isOverdue, task.isFixed],
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
