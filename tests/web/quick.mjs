// Quick add in the browser: chips while typing, creating, the whole form, errors; by keyboard, by touch, on any screen.
import assert from "node:assert/strict";
import { dialogOf, dismissAll, hold, make, said, tap, task, titled } from "./steps.mjs";
import { LOCALES, SIZES, api, eventually, isSound, picture, scenario, visit } from "./support.mjs";

const WORDS = {
  de: {
    line: "Schnell anlegen",
    create: "Anlegen",
    text: (date) => `Augenarzt ${date} nachmittags #gesundheit !24.12.2030 @privat`,
    chips: ["nachmittags", "bis Di 24. Dez 2030", "#gesundheit", "Privat"],
    day: { days: ["So", "Mo", "Di", "Mi", "Do", "Fr", "Sa"] },
    created: "„Augenarzt“ ist angelegt.",
    title: "Augenarzt",
  },
  en: {
    line: "Quick add",
    create: "Add",
    text: (date) => `Optician ${date} afternoon #health !2030-12-24 @private`,
    chips: ["afternoon", "due Tue 24 Dec 2030", "#health", "Private"],
    day: { days: ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"] },
    created: "“Optician” is created.",
    title: "Optician",
  },
};

const lineOf = (page, name = "Schnell anlegen") => page.getByRole("textbox", { name });
const formOf = (page, name = "Schnell anlegen") => page.getByRole("form", { name });

/** The chips' texts; in parentheses those that the line only implies. */
const chipsOf = (page) =>
  page
    .locator("#quick li")
    .evaluateAll((all) =>
      all.map((it) => (it.querySelector("button") ? it.innerText.replace(/\s*×$/, "") : `(${it.innerText})`)),
    );
const chipsAre = (page, expected) =>
  eventually(`the chips ${expected}`, async () => JSON.stringify(await chipsOf(page)) === JSON.stringify(expected));

/** A later day of the week on which no fixed task holds the slot. */
async function dayFor(url, zeit) {
  const { json } = await api(url, "GET", "/codex");
  const isFree = ({ slots }) => slots.some((slot) => slot.zeit === zeit && !slot.task?.isFixed);
  return json.timeline.slice(1).find(isFree);
}

const fieldsOf = ({ title, kategorie, deadline, fixedSlot, tags }) => ({ title, kategorie, deadline, fixedSlot, tags });
const topOf = (page) => page.locator("main").evaluate((it) => it.getBoundingClientRect().top);

const focused = (page) =>
  page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.innerText.trim());

await scenario("quick", async ({ browser, urls: [url] }) => {
  await theWholeLineInEverySizeSchemeAndLanguage(browser, url);
  const page = await visit(browser, url);
  await chipsAreTakenBackByBackspaceAndTap(page, url);
  await moreThanFitsStaysInside(page);
  await theKeyboardIsEnough(page, url);
  await theFormTakesOver(page, url);
  await whatWasWrittenInTheFormComesAlong(page, url);
  await andIsOfThatLineOnly(page, url);
  await theMeaningFollowsTheWeek(page, url);
  await whatFailsIsSaidAndNothingTypedIsLost(page, url);
  await whatIsTypedMeanwhileIsTheNextTask(page, url);
  await theLineOutlivesTheForm(page, url);
  await onAPhone(browser, url);
});

/** Notes the keys of all requests that create a task. */
function notesCreations(page) {
  const keys = [];
  const note = (request) =>
    request.method() === "POST" &&
    request.url().endsWith("/api/tasks") &&
    keys.push(request.headers()["idempotency-key"]);
  page.on("request", note);
  return keys;
}

async function theWholeLineInEverySizeSchemeAndLanguage(browser, url) {
  const { datum, dayOfWeek } = await dayFor(url, "nachmittags");
  for (const lang of Object.keys(LOCALES)) {
    const words = WORDS[lang];
    for (const size of Object.keys(SIZES)) {
      for (const colorScheme of ["light", "dark"]) {
        const name = `${size}-${colorScheme}-${lang}`;
        const page = await visit(browser, url, { lang, size, colorScheme });
        const isNarrow = size !== "desktop";
        assert.equal(await lineOf(page, words.line).isVisible(), !isNarrow);
        if (isNarrow) await page.getByRole("button", { name: words.line, exact: true }).click();
        await isSound(page, `the empty line, ${name}`);
        await picture(page, `quick-empty-${name}`);
        const top = await topOf(page);
        await lineOf(page, words.line).pressSequentially(words.text(datum));
        const shown = await chipsOf(page);
        assert.deepEqual(shown.slice(1), words.chips);
        assert.ok(shown[0].startsWith(words.day.days[dayOfWeek]), shown[0]);
        assert.equal(await topOf(page), top, "the week stays where it is");
        await formOf(page, words.line)
          .locator("[aria-live]", { hasText: words.chips.join(", ") })
          .waitFor({ state: "attached" });
        await isSound(page, `the line, ${name}`);
        await picture(page, `quick-${name}`);
        if (size === "phone") {
          const keys = notesCreations(page);
          await page.keyboard.press("Enter");
          await said(page, words.created);
          await isCreated(url, words, datum);
          assert.equal(keys.length, 1);
        }
        await page.context().close();
      }
    }
  }
}

async function isCreated(url, words, datum) {
  const [made, ...others] = await titled(url, words.title);
  assert.deepEqual(
    [others.length, fieldsOf(made)],
    [
      0,
      {
        title: words.title,
        kategorie: "privat",
        deadline: "24.12.2030",
        fixedSlot: { datum, zeit: "nachmittags" },
        tags: [words.chips[2].slice(1)],
      },
    ],
  );
  await api(url, "PATCH", `/api/tasks/${encodeURIComponent(made.filename.replace(/\.md$/, ""))}`, {
    status: "abgebrochen",
    body: "# Vergangen\n",
  });
}

async function chipsAreTakenBackByBackspaceAndTap(page, url) {
  const line = lineOf(page);
  await line.pressSequentially("Zahnarzt 24.12.2030 abends #zahn");
  await chipsAre(page, ["Di 24. Dez 2030", "abends", "#zahn", "(Arbeit)"]);
  await page.keyboard.press("Backspace");
  await chipsAre(page, ["Di 24. Dez 2030", "abends", "(Arbeit)"]);
  assert.equal(await line.inputValue(), "Zahnarzt 24.12.2030 abends #zahn", "the text stays");
  for (let count = "#zahn ".length; count > 0; count -= 1) await page.keyboard.press("Backspace");
  await page.keyboard.press("Backspace");
  await chipsAre(page, ["Di 24. Dez 2030", "(morgens)", "(Arbeit)"]);
  await tap(page, "Di 24. Dez 2030: doch ein Teil des Titels");
  await chipsAre(page, ["(Arbeit)"]);
  await page.keyboard.type(" @privat ");
  await chipsAre(page, ["Privat"]);
  assert.ok(await line.evaluate((it) => it === document.activeElement), "typing goes on");
  await tap(page, "Anlegen");
  await said(page, "„Zahnarzt 24.12.2030 abends“ ist angelegt.");
  const [made] = await titled(url, "Zahnarzt 24.12.2030 abends");
  assert.deepEqual([made.fixedSlot, made.kategorie], [null, "privat"]);
  assert.equal(await line.inputValue(), "");
  await dismissAll(page);
}

async function moreThanFitsStaysInside(page) {
  const line = lineOf(page);
  const top = await topOf(page);
  await line.fill(`Zahnarzt 1.1.2020 #${"lang".repeat(60)} #zwei`);
  await formOf(page).getByText("schon vorbei").waitFor();
  await isSound(page, "a long tag");
  assert.equal(await topOf(page), top);
  await line.fill("");
}

async function theKeyboardIsEnough(page, url) {
  const card = page.getByRole("article").getByRole("link").first();
  await card.focus();
  const name = await card.innerText();
  await page.keyboard.press("n");
  assert.equal(await focused(page), "Schnell anlegen");
  assert.equal(await lineOf(page).inputValue(), "", "the key isn't typed");
  await page.keyboard.type("nach Norden 14:30 @privat");
  await page.keyboard.press("Escape");
  assert.equal(await focused(page), name, "back where it was");
  await page.keyboard.press("n");
  assert.equal(await lineOf(page).inputValue(), "nach Norden 14:30 @privat");
  // Tab reaches the chips; removing one goes back to the line.
  for (let step = 0; !(await focused(page)).startsWith("nachmittags:"); step += 1) {
    assert.ok(step < 10, "the chip isn't reached");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  assert.equal(await focused(page), "Schnell anlegen");
  await chipsAre(page, ["Privat"]);
  await page.keyboard.press("Enter");
  await said(page, "„nach Norden 14:30“ ist angelegt.");
  assert.equal(await focused(page), "Schnell anlegen", "ready for the next one");
  assert.equal((await titled(url, "nach Norden"))[0].fixedSlot, null);
  // Nothing to create, or only what isn't a title.
  await page.keyboard.press("Enter");
  await page.keyboard.type("#nur");
  await page.keyboard.press("Enter");
  await formOf(page).getByText("Es fehlt noch, was zu tun ist.").waitFor();
  await lineOf(page).fill("");
  assert.equal(await formOf(page).locator("[role=alert]").textContent(), "");
  await page.getByRole("searchbox").focus();
  await page.keyboard.press("n");
  assert.equal(await page.getByRole("searchbox").inputValue(), "n", "in a field it is a letter");
  await page.locator(".found").waitFor();
  await page.getByRole("searchbox").fill("");
  await page.locator(".week").waitFor();
  await dismissAll(page);
}

async function theFormTakesOver(page, url) {
  const { datum } = await dayFor(url, "abends");
  // The form has a draft of its own, which has to stay.
  await page.getByRole("link", { name: "Neue Aufgabe", exact: true }).click();
  await dialogOf(page).getByLabel("Titel").fill("Älterer Entwurf");
  await page.keyboard.press("Escape");
  await dialogOf(page).waitFor({ state: "hidden" });
  await lineOf(page).fill(`Steuer ${datum} abends #geld, !31.12.2030 @privat`);
  await lineOf(page).press("Shift+Enter");
  const dialog = dialogOf(page);
  await dialog.waitFor();
  const iso = datum.split(".").reverse().join("-");
  const values = async () => [
    await dialog.getByLabel("Titel").inputValue(),
    await dialog.getByLabel("Fester Tag").inputValue(),
    await dialog.getByLabel("Tageszeit").inputValue(),
    await dialog.getByLabel("Frist").inputValue(),
    await dialog.getByRole("radio", { name: "Privat" }).isChecked(),
    await dialog.getByRole("button", { name: "Tag geld entfernen" }).count(),
  ];
  assert.deepEqual(await values(), ["Steuer", iso, "abends", "2030-12-31", true, 1]);
  await dialog.getByLabel("Text", { exact: true }).fill("Belege suchen.");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  assert.equal(await focused(page), "Schnell anlegen");
  // The line still says it. What was written in the form is there, too, even with another title.
  await lineOf(page).press("Home");
  await page.keyboard.type("Die ");
  await page.keyboard.press("Shift+Enter");
  assert.equal(await dialog.getByLabel("Titel").inputValue(), "Die Steuer");
  assert.equal(await dialog.getByLabel("Text", { exact: true }).inputValue(), "Belege suchen.");
  await isSound(page, "the form with what the line says");
  await tap(page, "Speichern");
  await said(page, "„Die Steuer“ ist angelegt.");
  await dialog.waitFor({ state: "hidden" });
  assert.equal(await lineOf(page).inputValue(), "");
  const [made, ...others] = await titled(url, "Die Steuer");
  assert.deepEqual(
    [others.length, fieldsOf(made)],
    [
      0,
      {
        title: "Die Steuer",
        kategorie: "privat",
        deadline: "31.12.2030",
        fixedSlot: { datum, zeit: "abends" },
        tags: ["geld"],
      },
    ],
  );
  assert.match((await task(url, made.filename.replace(/\.md$/, ""))).body, /Belege suchen\./);
  await dismissAll(page);
  await page.getByRole("link", { name: "Neue Aufgabe", exact: true }).click();
  assert.equal(await dialog.getByLabel("Titel").inputValue(), "Älterer Entwurf");
  await tap(page, "Verwerfen");
  await dialog.waitFor({ state: "hidden" });
}

async function bodyOf(url, title) {
  const [{ filename }] = await titled(url, title);
  return (await task(url, filename.replace(/\.md$/, ""))).body;
}

/** Opens the form of the line, writes a text there and leaves it. */
async function writeInTheForm(page, text) {
  await lineOf(page).press("Shift+Enter");
  await dialogOf(page).getByLabel("Text", { exact: true }).fill(text);
  await page.keyboard.press("Escape");
  await dialogOf(page).waitFor({ state: "hidden" });
}

/** Enter sends what was written in the form, too, and the next line has nothing of it. */
async function whatWasWrittenInTheFormComesAlong(page, url) {
  const line = lineOf(page);
  await line.fill("Aktenzeichen @privat");
  await writeInTheForm(page, "Seite 3 prüfen.");
  await line.press("Enter");
  await said(page, "„Aktenzeichen“ ist angelegt.");
  assert.match(await bodyOf(url, "Aktenzeichen"), /Seite 3 prüfen\./);
  await line.fill("Anderes");
  await line.press("Shift+Enter");
  assert.equal(await dialogOf(page).getByLabel("Text", { exact: true }).inputValue(), "");
  await tap(page, "Verwerfen");
  await dialogOf(page).waitFor({ state: "hidden" });
  await dismissAll(page);
}

/** What was written for one text isn't sent with another one unseen, and not with another line. */
async function andIsOfThatLineOnly(page, url) {
  const [line, dialog] = [lineOf(page), dialogOf(page)];
  const text = dialog.getByLabel("Text", { exact: true });
  await line.fill("Kündigung");
  await writeInTheForm(page, "Frist beachten.");
  await line.fill("Blumen @privat");
  await line.press("Enter");
  await dialog.getByText("Das ist dein Entwurf von vorhin.").waitFor();
  assert.deepEqual(
    [await dialog.getByLabel("Titel").inputValue(), await text.inputValue()],
    ["Blumen", "Frist beachten."],
  );
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  await line.fill("");
  await line.fill("Kerzen @privat");
  await line.press("Enter");
  await said(page, "„Kerzen“ ist angelegt.");
  assert.doesNotMatch(await bodyOf(url, "Kerzen"), /Frist/);
  assert.equal((await titled(url, "Blumen")).length, 0);
  await line.press("Shift+Enter");
  assert.equal(await text.inputValue(), "Frist beachten.", "it isn't lost either");
  await tap(page, "Verwerfen");
  await dialog.waitFor({ state: "hidden" });
  await dismissAll(page);
}

/** What a line means can change while nobody types. */
async function theMeaningFollowsTheWeek(page, url) {
  const { json } = await api(url, "GET", "/codex");
  const free = ({ slots }) => slots.filter(({ task }) => !task?.isFixed).map(({ zeit }) => zeit);
  const day = json.timeline.slice(1).find((it) => free(it).length > 1);
  const [{ datum }, [first, second]] = [day, free(day)];
  const line = lineOf(page);
  await line.fill(`Impfung ${datum}`);
  const slot = async () => (await chipsOf(page))[1];
  assert.equal(await slot(), `(${first})`);
  await make(url, "Kam dazwischen", { fixedSlot: { datum, zeit: first } });
  await eventually("the next slot", async () => (await slot()) === `(${second})`);
  assert.ok(await line.evaluate((it) => it === document.activeElement));
  await line.press("Enter");
  await said(page, "„Impfung“ ist angelegt.");
  assert.deepEqual((await titled(url, "Impfung"))[0].fixedSlot, { datum, zeit: second });
  await dismissAll(page);
}

async function whatFailsIsSaidAndNothingTypedIsLost(page, url) {
  const keys = notesCreations(page);
  const line = lineOf(page);
  await line.fill("Glocke läuten\u0007");
  await line.press("Enter");
  await formOf(page).getByText("Ein Titel ist eine Zeile ohne Steuerzeichen.").waitFor();
  await isSound(page, "a refused line");
  await picture(page, "quick-refused");
  assert.equal(await line.inputValue(), "Glocke läuten\u0007");
  await line.fill("Glocke läuten @privat");
  await page.route(
    "**/api/tasks",
    async (route) => {
      await route.fetch();
      await route.abort();
    },
    { times: 1 },
  );
  await line.press("Enter");
  await formOf(page).getByText("Der Dienst ist nicht erreichbar.").waitFor();
  assert.equal(await line.inputValue(), "Glocke läuten @privat");
  await page.reload();
  await chipsAre(page, ["Privat"]);
  assert.equal(await line.inputValue(), "Glocke läuten @privat", "nor by leaving the page");
  await line.press("Enter");
  await said(page, "„Glocke läuten“ ist angelegt.");
  assert.equal((await titled(url, "Glocke läuten")).length, 1, "the same key again");
  assert.deepEqual([keys.length, new Set(keys).size], [3, 1]);
  await page.context().setOffline(true);
  await page.getByText(/^Offline\./).waitFor();
  await line.fill("Aus dem Funkloch");
  await line.press("Enter");
  await formOf(page).getByText("Dafür braucht es eine Verbindung zum Dienst.").waitFor();
  assert.equal(keys.length, 3, "nothing is sent");
  await page.context().setOffline(false);
  await page.getByText(/^Offline\./).waitFor({ state: "detached" });
  await line.press("Enter");
  await said(page, "„Aus dem Funkloch“ ist angelegt.");
  await dismissAll(page);
}

async function whatIsTypedMeanwhileIsTheNextTask(page, url) {
  const keys = notesCreations(page);
  const line = lineOf(page);
  await line.fill("Erstens");
  const held = await hold(page, "**/api/tasks");
  await line.press("Enter");
  await page.keyboard.press("Enter");
  await page.keyboard.type(" Zweitens @privat");
  await held.release();
  await said(page, "„Erstens“ ist angelegt.");
  assert.equal(await line.inputValue(), "Zweitens @privat");
  await line.press("Enter");
  await said(page, "„Zweitens“ ist angelegt.");
  assert.deepEqual([keys.length, new Set(keys).size], [2, 2], "a request and a key for each");
  assert.deepEqual([(await titled(url, "Erstens")).length, (await titled(url, "Zweitens")).length], [1, 1]);
  await dismissAll(page);
}

async function theLineOutlivesTheForm(page) {
  await lineOf(page).fill("Doch nicht");
  await tap(page, "Alle Felder");
  await tap(page, "Verwerfen");
  await dialogOf(page).waitFor({ state: "hidden" });
  assert.equal(await lineOf(page).inputValue(), "", "what was discarded is gone");
}

async function onAPhone(browser, url) {
  const page = await visit(browser, url, { size: "phone" });
  const plus = page.getByRole("button", { name: "Schnell anlegen", exact: true });
  const top = await topOf(page);
  await plus.tap();
  assert.equal(await focused(page), "Schnell anlegen");
  assert.equal(await topOf(page), top, "it lies over the page");
  await lineOf(page).pressSequentially("Brot kaufen #laden, 24.12.2030");
  await page.getByRole("button", { name: "#laden: doch ein Teil des Titels" }).tap();
  await chipsAre(page, ["Di 24. Dez 2030", "(morgens)", "(Arbeit)"]);
  await page.getByRole("button", { name: "Zeile schließen" }).tap();
  assert.ok(!(await lineOf(page).isVisible()));
  await plus.tap();
  assert.equal(await lineOf(page).inputValue(), "Brot kaufen #laden, 24.12.2030");
  await page.getByRole("button", { name: "Anlegen", exact: true }).tap();
  await said(page, "„Brot kaufen #laden,“ ist angelegt.");
  assert.ok(!(await lineOf(page).isVisible()), "the week is back");
  await picture(page, "quick-created-phone");
  assert.deepEqual((await titled(url, "Brot kaufen"))[0].fixedSlot, { datum: "24.12.2030", zeit: "morgens" });
  await plus.tap();
  await lineOf(page).fill("Käse kaufen");
  await page.getByRole("button", { name: "Alle Felder" }).tap();
  await dialogOf(page).waitFor();
  assert.equal(await dialogOf(page).getByLabel("Titel").inputValue(), "Käse kaufen");
  await page.getByRole("button", { name: "Verwerfen" }).tap();
  await dialogOf(page).waitFor({ state: "hidden" });
  assert.equal(await focused(page), "Schnell anlegen", "at the button that opened it");
  await page.context().close();
}
