// Every action on a task, with the scenario's own tasks: it depends on no existing data.
import assert from "node:assert/strict";
import {
  complete,
  dialogOf,
  dismissAll,
  freeSlots,
  hold,
  make,
  openEdit,
  openNew,
  said,
  shows,
  tap,
  task,
  titled,
  warned,
} from "./steps.mjs";
import { SIZES, api, eventually, isSound, person, picture, scenario, visit } from "./support.mjs";

await scenario("do", async ({ browser, urls: [url] }) => {
  const page = await visitEmpty(browser, url);
  await completingShowsAtOnceAndCanBeUndone(page, url);
  await anUndoThatFailedCanBeRepeated(page, url);
  await whereverItIsUndoneItIsUndoneOnce(page, url);
  await whatSomebodyElseCompletedIsntUndoneHere(page, url);
  await aRefusedCompletionIsTakenBackAndSaid(page, url);
  await aDoubleClickMakesOneTask(page, url);
  await aLostAnswerAndSavingAgainMakeOneTask(page, url);
  await aFreeSlotOpensTheFormThere(page, url);
  await editingSendsOnlyWhatWasChanged(page, url);
  await windowsLineBreaksStay(page, url);
  await callingOffAndReopening(page, url);
  await aPlaceIsSaidOnlyWhenItIsKnown(page, url);
  await searchingAndFiltering(page, url);
  await whatIsntFoundCanBeCreated(page, url);
  await aSearchIsntHeldByACompletedCard(browser, url);
  await whatTheServiceRefusesIsSaidAtTheField(page, url);
  for (const size of Object.keys(SIZES)) await messagesNeverCoverAFormsButtons(browser, url, size);
});

/** Opens the page after completing all tasks, so that the week has free slots. */
async function visitEmpty(browser, url) {
  const { json } = await api(url, "GET", "/api/tasks");
  for (const { filename } of json.tasks)
    await api(url, "POST", `/api/tasks/${encodeURIComponent(filename.replace(/\.md$/, ""))}/complete`);
  await make(url, "Erste Aufgabe");
  return visit(browser, url);
}

async function completingShowsAtOnceAndCanBeUndone(page, url) {
  const stem = await make(url, "Blumen gießen");
  await shows(page, "Blumen gießen");
  const held = await hold(page, "**/complete");
  await complete(page, "Blumen gießen");
  const card = page.getByRole("article").filter({ hasText: "Blumen gießen" });
  await card.getByText("erledigt", { exact: true }).waitFor();
  assert.equal((await task(url, stem)).status, "offen", "the service hasn't heard of it yet");
  await held.release();
  await said(page, "„Blumen gießen“ ist erledigt.");
  assert.equal((await task(url, stem)).status, "abgeschlossen");
  await card.waitFor({ state: "detached" });
  // While it has the pointer, it stays.
  await page.locator("#messages .toast").hover();
  await isSound(page, "a message with undo");
  await tap(page, "Rückgängig");
  await said(page, "„Blumen gießen“ ist wieder offen.");
  await shows(page, "Blumen gießen");
  const again = await task(url, stem);
  assert.deepEqual([again.status, again.abgeschlossen_am], ["offen", null]);
  await dismissAll(page);
}

function undoAtCard(page, title) {
  return page.getByRole("button", { name: `Rückgängig: ${title}`, exact: true });
}

async function anUndoThatFailedCanBeRepeated(page, url) {
  const stem = await make(url, "Rasen mähen");
  await shows(page, "Rasen mähen");
  await complete(page, "Rasen mähen");
  await said(page, "„Rasen mähen“ ist erledigt.");
  await page.route("**/api/tasks/*", (route) => route.abort(), { times: 1 });
  await tap(page, "Rückgängig");
  await warned(page, "Der Dienst ist nicht erreichbar.");
  await tap(page, "Rückgängig");
  await said(page, "„Rasen mähen“ ist wieder offen.");
  assert.equal((await task(url, stem)).status, "offen");
  await dismissAll(page);
}

async function whereverItIsUndoneItIsUndoneOnce(page, url) {
  const stem = await make(url, "Hecke schneiden");
  await shows(page, "Hecke schneiden");
  await complete(page, "Hecke schneiden");
  await said(page, "„Hecke schneiden“ ist erledigt.");
  const sent = [];
  page.on("request", (request) => request.method() === "PATCH" && sent.push(request.url()));
  const held = await hold(page, "**/api/tasks/*");
  await undoAtCard(page, "Hecke schneiden").click();
  await tap(page, "Rückgängig");
  await held.release();
  await said(page, "„Hecke schneiden“ ist wieder offen.");
  assert.equal((await task(url, stem)).status, "offen");
  assert.deepEqual([sent.length, await page.locator("#alerts .toast").count()], [1, 0]);
  await dismissAll(page);
}

async function whatSomebodyElseCompletedIsntUndoneHere(page, url) {
  const stem = await make(url, "Laub rechen");
  await shows(page, "Laub rechen");
  const held = await hold(page, "**/codex*");
  await api(url, "POST", `/api/tasks/${encodeURIComponent(stem)}/complete`);
  await complete(page, "Laub rechen");
  await said(page, "„Laub rechen“ war schon erledigt.");
  assert.equal(await undoAtCard(page, "Laub rechen").count(), 0);
  await held.release();
  await dismissAll(page);
}

async function aRefusedCompletionIsTakenBackAndSaid(page, url) {
  const stem = await make(url, "Fenster putzen");
  await shows(page, "Fenster putzen");
  const json = (code, error) => JSON.stringify({ ok: false, code, error });
  const refusals = [
    [
      {
        status: 429,
        contentType: "application/json; charset=utf-8",
        headers: { "retry-after": "7" },
        body: json("too_many_requests", "Too many."),
      },
      "Zu viele Anfragen. In 7 Sekunden geht es wieder.",
    ],
    [
      { status: 503, contentType: "application/json; charset=utf-8", body: json("storage_unavailable", "Away.") },
      "Die Ablage ist gerade nicht erreichbar. Es wurde nichts geändert.",
    ],
    [
      { status: 502, contentType: "text/html", body: "<h1>Bad Gateway</h1>" },
      "Der Dienst hat mit 502 geantwortet, ohne zu sagen, warum.",
    ],
    [{ status: 429, contentType: "text/plain", body: "slow down" }, "Zu viele Anfragen."],
    [null, "Ob die Änderung noch angekommen ist, zeigt sich, wenn er wieder da ist."],
  ];
  for (const [answer, words] of refusals) {
    await page.route("**/complete", (route) => (answer ? route.fulfill(answer) : route.abort()), { times: 1 });
    await complete(page, "Fenster putzen");
    await warned(page, words);
    await page.locator("#alerts .toast").last().waitFor();
    assert.ok(await page.getByRole("button", { name: "Erledigen: Fenster putzen" }).isEnabled(), "it is open again");
    await dismissAll(page);
  }
  assert.equal((await task(url, stem)).status, "offen");
}

async function aDoubleClickMakesOneTask(page, url) {
  const keys = [];
  const note = (request) =>
    request.method() === "POST" &&
    request.url().endsWith("/api/tasks") &&
    keys.push(request.headers()["idempotency-key"]);
  page.on("request", note);
  const [{ datum, zeit }] = (await freeSlots(url)).slice(-1);
  for (const title of ["Geschenk kaufen", "Karte schreiben"]) {
    await openNew(page);
    const dialog = dialogOf(page);
    await dialog.getByLabel("Titel").fill(title);
    await dialog.getByRole("radio", { name: "Privat" }).check();
    await dialog.getByLabel("Frist").fill("2027-01-31");
    if (title === "Geschenk kaufen") {
      await dialog.getByLabel("Fester Tag").fill(datum.split(".").reverse().join("-"));
      await dialog.getByLabel("Tageszeit").selectOption(zeit);
    }
    const tags = dialog.getByLabel("Tags");
    for (const tag of ["eins", "zwei, drei", "vier"]) {
      await tags.fill(tag);
      await tags.press("Enter");
    }
    await tap(page, "Tag vier entfernen");
    await dialog.getByLabel("Text", { exact: true }).fill("## Wichtig\n\n- [x] rot\n- [ ] blau");
    await tap(page, "Vorschau");
    const preview = dialog.locator("#previewed");
    await preview.getByRole("heading", { name: "Wichtig" }).waitFor();
    assert.equal(await preview.getByRole("checkbox").count(), 2);
    if (title === "Geschenk kaufen") await isSound(page, "a form with a preview");
    await dialog.getByRole("button", { name: "Speichern" }).dblclick();
    await said(page, `„${title}“ ist angelegt.`);
    await dismissAll(page);
  }
  page.off("request", note);
  const [gift, ...others] = await titled(url, "Geschenk kaufen");
  assert.deepEqual(
    [others.length, gift.kategorie, gift.deadline, gift.fixedSlot, gift.tags],
    [0, "privat", "31.01.2027", { datum, zeit }, ["eins", "zwei, drei"]],
  );
  const { body } = await task(url, gift.filename.replace(/\.md$/, ""));
  assert.equal(body, "# Geschenk kaufen\n\n## Wichtig\n\n- [x] rot\n- [ ] blau");
  assert.deepEqual([keys.length, new Set(keys).size], [2, 2], "a request and a key for each form");
}

async function aLostAnswerAndSavingAgainMakeOneTask(page, url) {
  await openNew(page);
  await dialogOf(page).getByLabel("Titel").fill("Steuer zahlen");
  await page.route(
    "**/api/tasks",
    async (route) => {
      await route.fetch();
      await route.abort();
    },
    { times: 1 },
  );
  await tap(page, "Speichern");
  await dialogOf(page).getByText("Der Dienst ist nicht erreichbar.").waitFor();
  await tap(page, "Speichern");
  await said(page, "„Steuer zahlen“ ist angelegt.");
  assert.equal((await titled(url, "Steuer zahlen")).length, 1);
  await dismissAll(page);
}

async function aFreeSlotOpensTheFormThere(page, url) {
  const [{ datum, zeit }] = await freeSlots(url);
  const words = { morgens: "Morgens", nachmittags: "Nachmittags", abends: "Abends" };
  await page.getByRole("link", { name: `${datum}, ${words[zeit]}` }).click();
  const dialog = dialogOf(page);
  assert.equal(await dialog.getByLabel("Fester Tag").inputValue(), datum.split(".").reverse().join("-"));
  assert.equal(await dialog.getByLabel("Tageszeit").inputValue(), zeit);
  await tap(page, "Verwerfen");
  await dialog.waitFor({ state: "hidden" });
}

async function editingSendsOnlyWhatWasChanged(page, url) {
  const stem = await make(url, "Bericht lesen", { tags: ["a"], body: "Kapitel 1\n" });
  await shows(page, "Bericht lesen");
  const { etag } = await task(url, stem);
  await openEdit(page, "Bericht lesen");
  await dialogOf(page).getByLabel("Frist").fill("2027-03-01");
  const [request] = await Promise.all([page.waitForRequest((it) => it.method() === "PATCH"), tap(page, "Speichern")]);
  assert.deepEqual(request.postDataJSON(), { deadline: "01.03.2027" });
  assert.equal(request.headers()["if-match"], `"${etag}"`);
  await said(page, "„Bericht lesen“ ist gespeichert.");
  await dialogOf(page).getByText("Montag, 01.03.2027").waitFor();
  await tap(page, "Schließen");
  await openEdit(page, "Bericht lesen");
  await tap(page, "Speichern");
  await said(page, "Es war nichts geändert.");
  await tap(page, "Schließen");
  await dismissAll(page);
}

async function windowsLineBreaksStay(page, url) {
  const stem = await make(url, "Brief", { body: "# Brief\r\n\r\nZeile 1\r\n" });
  await shows(page, "Brief");
  await openEdit(page, "Brief");
  const text = dialogOf(page).getByLabel("Text", { exact: true });
  await text.fill(`${await text.inputValue()}Zeile 2\n`);
  await tap(page, "Speichern");
  await said(page, "„Brief“ ist gespeichert.");
  assert.equal((await task(url, stem)).body, "# Brief\r\n\r\nZeile 1\r\nZeile 2\r\n");
  await tap(page, "Schließen");
  await dismissAll(page);
}

async function callingOffAndReopening(page, url) {
  const stem = await make(url, "Ausflug");
  await shows(page, "Ausflug");
  const callOff = async () => {
    await page.getByRole("link", { name: "Ausflug", exact: true }).click();
    await tap(page, "Absagen");
    await said(page, "„Ausflug“ ist abgesagt.");
    assert.equal((await task(url, stem)).status, "abgebrochen");
  };
  await callOff();
  await tap(page, "Rückgängig");
  await said(page, "„Ausflug“ ist wieder offen.");
  await shows(page, "Ausflug");
  await dismissAll(page);
  await callOff();
  await page.getByRole("link", { name: "Ausflug", exact: true }).waitFor({ state: "detached" });
  const mark = (title) =>
    page
      .getByRole("article")
      .filter({ has: page.getByRole("link", { name: title, exact: true }) })
      .locator(".check")
      .evaluate((it) => [getComputedStyle(it).backgroundColor, getComputedStyle(it, "::after").transform]);
  await page.getByLabel("Status").selectOption("alle");
  const [calledOff, done] = [await mark("Ausflug"), await mark("Angebot für Stadtwerke fertigstellen")];
  for (const at of [0, 1]) assert.notEqual(calledOff[at], done[at], "called off is no green tick");
  await picture(page, "called-off");
  await page.getByLabel("Status").selectOption("abgesagt");
  await page.getByRole("link", { name: "Ausflug", exact: true }).click();
  await tap(page, "Wieder öffnen");
  await said(page, "„Ausflug“ ist wieder offen.");
  assert.equal((await task(url, stem)).status, "offen");
  await page.getByRole("link", { name: "Zurück zur Woche" }).click();
  await shows(page, "Ausflug");
  await dismissAll(page);
}

/** While the week can't be read, the one from before doesn't say where a task went. */
async function aPlaceIsSaidOnlyWhenItIsKnown(page, url) {
  const { datum } = (await freeSlots(url)).find(({ zeit }) => zeit === "abends");
  await make(url, "Umzug", { fixedSlot: { datum, zeit: "abends" } });
  await shows(page, "Umzug");
  await openEdit(page, "Umzug");
  await dialogOf(page).getByLabel("Fester Tag").fill("2030-12-24");
  const save = async (route) => {
    await page.route("**/codex*", (read) => read.abort());
    await route.continue();
  };
  await page.route("**/api/tasks/*", save, { times: 1 });
  await tap(page, "Speichern");
  await said(page, "„Umzug“ ist gespeichert.");
  await page.getByText(/^Offline\./).waitFor();
  assert.equal(await page.locator("#messages a").count(), 0);
  await page.unroute("**/codex*");
  await tap(page, "Schließen");
  await page.getByText(/^Offline\./).waitFor({ state: "detached" });
  await dismissAll(page);
}

/** With a clock that stands still, a completed card stays for ever; what is searched comes all the same. */
async function aSearchIsntHeldByACompletedCard(browser, url) {
  await make(url, "Suchwort eins", { tags: ["finde"] });
  await make(url, "Suchwort zwei");
  const page = await (await person(browser)).newPage();
  await page.clock.install();
  await page.goto(`${url}#/?q=Suchwort`);
  await shows(page, "Suchwort zwei");
  await page.clock.pauseAt(Date.now() + 60_000);
  await tap(page, "Erledigen: Suchwort zwei");
  await undoAtCard(page, "Suchwort zwei").waitFor();
  await page.getByRole("button", { name: "Tag finde: alle Aufgaben damit" }).click();
  await page.getByRole("region", { name: "Gefundene Aufgaben" }).getByText("1 Aufgabe", { exact: true }).waitFor();
  await page.context().close();
}

async function searchingAndFiltering(page, url) {
  for (let number = 0; number < 55; number += 1)
    await api(url, "POST", "/api/tasks", {
      kategorie: number % 2 ? "arbeit" : "privat",
      title: `Stapel ${number}`,
      tags: ["stapel"],
      status: number < 3 ? "abgeschlossen" : "offen",
    });
  const found = page.getByRole("region", { name: "Gefundene Aufgaben" });
  const count = (words) => found.getByText(words, { exact: true }).waitFor();
  await page.getByRole("searchbox", { name: "Aufgaben suchen" }).fill("STAPEL");
  await count("50+ Aufgaben");
  await tap(page, "Weitere zeigen");
  await count("52 Aufgaben");
  await page.getByLabel("Kategorie").selectOption("privat");
  await count("26 Aufgaben");
  await page.getByLabel("Status").selectOption("erledigt");
  await count("2 Aufgaben");
  assert.match(page.url(), /#\/\?q=STAPEL&kategorie=privat&status=abgeschlossen$/);
  await page.reload();
  await count("2 Aufgaben");
  await isSound(page, "found tasks");
  await page.getByRole("link", { name: "Zurück zur Woche" }).click();
  await shows(page, "Geschenk kaufen");
  assert.equal(await page.getByRole("searchbox").inputValue(), "");
  await page.getByRole("button", { name: "Tag zwei, drei: alle Aufgaben damit" }).first().click();
  await count("2 Aufgaben");
  await tap(page, "Tag zwei, drei nicht mehr filtern");
  await page.getByRole("link", { name: "Zurück zur Woche" }).click();
  await shows(page, "Geschenk kaufen");
}

async function whatIsntFoundCanBeCreated(page, url) {
  const box = page.getByRole("searchbox", { name: "Aufgaben suchen" });
  await box.fill("Fernrohr #7 & mehr");
  await page.getByText("0 Aufgaben", { exact: true }).waitFor();
  await isSound(page, "nothing found");
  await page.getByRole("link", { name: "„Fernrohr #7 & mehr“ anlegen", exact: true }).click();
  assert.equal(await dialogOf(page).getByLabel("Titel").inputValue(), "Fernrohr #7 & mehr");
  await tap(page, "Speichern");
  await said(page, "„Fernrohr #7 & mehr“ ist angelegt.");
  assert.equal((await titled(url, "Fernrohr")).length, 1);
  await page.getByText("1 Aufgabe", { exact: true }).waitFor();
  await page.getByRole("link", { name: "Zurück zur Woche" }).click();
  await page.locator(".week").waitFor();
  await dismissAll(page);
}

async function whatTheServiceRefusesIsSaidAtTheField(page) {
  await openNew(page);
  const title = dialogOf(page).getByLabel("Titel");
  await title.fill("Glocke\u0007");
  await tap(page, "Speichern");
  await dialogOf(page).getByText("Ein Titel ist eine Zeile ohne Steuerzeichen.").waitFor();
  assert.deepEqual(
    [await title.getAttribute("aria-invalid"), await title.evaluate((it) => it === document.activeElement)],
    ["true", true],
  );
  await isSound(page, "a refused form");
  await picture(page, "refused");
  await title.fill("Glocke");
  await tap(page, "Speichern");
  await said(page, "„Glocke“ ist angelegt.");
  await eventually("the form is gone", async () => !(await dialogOf(page).isVisible()));
}

async function messagesNeverCoverAFormsButtons(browser, url, size) {
  const page = await visit(browser, url, { size });
  await page.route("**/api/preview", (route) => route.abort());
  await openNew(page);
  await dialogOf(page).getByLabel("Text", { exact: true }).fill("Zeile\n".repeat(40));
  const preview = dialogOf(page).getByRole("button", { name: "Vorschau" });
  for (let number = 1; number <= 3; number += 1) {
    await preview.click();
    await eventually("another message", async () => (await page.locator("#alerts .toast").count()) === number);
  }
  for (const button of await dialogOf(page).locator("form .buttons button").all()) {
    await button.scrollIntoViewIfNeeded();
    const isOnTop = await button.evaluate((it) => {
      const { x, y, width, height } = it.getBoundingClientRect();
      return [0.1, 0.5, 0.9].every((part) => it.contains(document.elementFromPoint(x + width * part, y + height / 2)));
    });
    assert.ok(isOnTop, `${size}: ${await button.innerText()} is covered`);
  }
  await isSound(page, `a form with messages, ${size}`);
  await picture(page, `messages-${size}`);
  await tap(page, "Verwerfen");
  await page.context().close();
}
