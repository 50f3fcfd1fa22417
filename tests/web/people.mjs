// Signing in and out: back to the same place, nothing left behind, and no user sees another's data.
import assert from "node:assert/strict";
import { readyToBeOffline, dialogOf, openNew, said, shows, tap } from "./steps.mjs";
import { LOCALES, SIZES, eventually, isSound, outside, person, picture, scenario } from "./support.mjs";

const NOBODY = {
  status: 401,
  contentType: "application/json; charset=utf-8",
  body: JSON.stringify({ ok: false, code: "not_signed_in", error: "…" }),
};
const SIGNED_OUT = "Du bist nicht angemeldet.";

await scenario("people", async ({ browser, urls: [url, byTokens] }) => {
  const context = await person(browser);
  const page = await context.newPage();
  await aSignInLeadsBackToTheTask(page, url);
  await aSessionThatEndsKeepsTheDraft(page, context, url);
  await aPlatformsRefusalKeepsTheDraft(page);
  await somebodyElseSignsInInAnotherTab(page, context, url);
  await signingOutLeavesNothing(page, context, url);
  await theNextPersonSeesTheirOwn(page, context, url);
  await whoMayNotEnterIsTold(page);
  await aSignInThatDoesntHelpIsSaid(browser, url);
  await andWhereNothingCanBeNoted(browser, url);
  await whereOnlyTokensAreTakenThePageSaysSo(browser, byTokens);
  await aRefusalIsAPage(browser, url, byTokens);
});

async function aSignInLeadsBackToTheTask(page, url) {
  await page.goto(`${url}#/task/0001-Annas-Geheimnis`);
  await nothingButASignIn(page, "arriving");
  await page.getByRole("link", { name: "Anmelden" }).click();
  const dialog = page.getByRole("dialog", { name: "Annas Geheimnis" });
  await dialog.getByText("0001-Annas-Geheimnis").waitFor();
  assert.equal(page.url(), `${url}#/task/0001-Annas-Geheimnis`);
  await tap(page, "Schließen");
  await page.getByText("anna", { exact: true }).waitFor();
  await isSound(page, "somebody is signed in");
}

/** Who isn't signed in is told what this is, and can do one thing. */
async function nothingButASignIn(page, when) {
  await page.getByText("Deine Woche aus einfachen Textdateien").waitFor();
  await page.getByText(SIGNED_OUT).waitFor();
  const actions = page.locator("a:visible, button:visible, input:visible, select:visible");
  assert.deepEqual(await actions.allInnerTexts(), ["Anmelden"]);
  await isSound(page, `signed out, ${when}`);
  await picture(page, `signed-out-${when}`);
}

async function aSessionThatEndsKeepsTheDraft(page, context, url) {
  await openNew(page);
  await dialogOf(page).getByLabel("Titel").fill("Mitten im Satz");
  await dialogOf(page).getByLabel("Text", { exact: true }).fill("schon viel getippt");
  await context.clearCookies();
  await page.getByRole("button", { name: "Speichern" }).click();
  // The sign-in has come back to a new page.
  await dialogOf(page).getByText("Das ist dein Entwurf von vorhin.").waitFor();
  assert.equal(page.url(), `${url}#/new`);
  assert.equal(await dialogOf(page).getByLabel("Text", { exact: true }).inputValue(), "schon viel getippt");
  await tap(page, "Speichern");
  await said(page, "„Mitten im Satz“ ist angelegt.");
  await shows(page, "Mitten im Satz");
}

/** A stopped app, or a proxy, says nothing about who may enter. */
async function aPlatformsRefusalKeepsTheDraft(page) {
  await openNew(page);
  await dialogOf(page).getByLabel("Titel").fill("Gerade getippt");
  await page.route("**/codex*", (route) => route.fulfill({ status: 403, contentType: "text/html", body: "Stopped" }));
  await page.reload();
  const title = dialogOf(page).getByLabel("Titel");
  await title.waitFor();
  assert.equal(await title.inputValue(), "Gerade getippt");
  await page.unroute("**/codex*");
  await tap(page, "Verwerfen");
  await dialogOf(page).waitFor({ state: "hidden" });
  await page.getByText("Der Dienst hat mit 403 geantwortet").waitFor({ state: "detached" });
  await shows(page, "Annas Geheimnis");
}

/** What one user was typing stays theirs. */
async function somebodyElseSignsInInAnotherTab(page, context, url) {
  const line = page.getByRole("textbox", { name: "Schnell anlegen" });
  await line.fill("Annas Zeile");
  await openNew(page);
  await dialogOf(page).getByLabel("Titel").fill("Annas Formular");
  const other = await context.newPage();
  for (const [name, title, left] of [
    ["berta", "Bertas Sache", ""],
    ["anna", "Annas Geheimnis", "Annas Zeile"],
  ]) {
    await outside(`${name} is at GitHub`);
    await other.goto(`${url}auth/github`);
    await shows(other, title);
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await page.getByText(title, { exact: true }).waitFor();
    await dialogOf(page).waitFor({ state: "hidden" });
    assert.equal(await line.inputValue(), left);
  }
  await other.close();
  await openNew(page);
  assert.equal(await dialogOf(page).getByLabel("Titel").inputValue(), "Annas Formular");
  await tap(page, "Verwerfen");
  await line.fill("");
}

async function signingOutLeavesNothing(page, context, url) {
  const other = await context.newPage();
  await other.goto(url);
  await shows(other, "Annas Geheimnis");
  await readyToBeOffline(page, "anna");
  await tap(page, "Abmelden");
  for (const tab of [page, other]) {
    await tab.getByText(SIGNED_OUT).waitFor();
    assert.ok(!(await tab.locator("body").innerText()).includes("Annas Geheimnis"));
  }
  await nothingButASignIn(page, "leaving");
  await other.close();
  const workers = () => navigator.serviceWorker.getRegistrations().then((all) => all.length);
  await eventually("no worker is left", async () => (await page.evaluate(workers)) === 0);
  const left = await page.evaluate(async () => ({
    weeks: (await caches.keys()).filter((it) => it !== "shell"),
    kept: sessionStorage.length + localStorage.length,
  }));
  assert.deepEqual(left, { weeks: [], kept: 0 });
  assert.deepEqual(
    (await context.cookies(url)).map((it) => it.name),
    [],
  );
}

async function theNextPersonSeesTheirOwn(page, context, url) {
  await outside("berta is at GitHub");
  await page.getByRole("link", { name: "Anmelden" }).click();
  await shows(page, "Bertas Sache");
  assert.ok(!(await page.content()).includes("Annas Geheimnis"));
  await readyToBeOffline(page, "berta");
  const weeks = await page.evaluate(async () => (await caches.keys()).filter((it) => it.startsWith("week of ")));
  assert.deepEqual(weeks, ["week of berta"]);
  await context.setOffline(true);
  await page.reload();
  await shows(page, "Bertas Sache");
  assert.ok(!(await page.content()).includes("Annas Geheimnis"));
  await context.setOffline(false);
  await page.goto(`${url}#/`);
  await page.getByText(/^Offline\./).waitFor({ state: "detached" });
}

async function whoMayNotEnterIsTold(page) {
  await outside("carla is at GitHub");
  await tap(page, "Abmelden");
  await page.getByRole("link", { name: "Anmelden" }).click();
  await page.getByText("Dieses Konto hat hier keinen Zutritt").waitFor();
}

/** Whose week this device has is redirected to the sign-in, once and not in a loop. */
async function aSignInThatDoesntHelpIsSaid(browser, url) {
  await outside("anna is at GitHub");
  const context = await person(browser);
  const page = await context.newPage();
  await page.goto(url);
  await page.getByRole("link", { name: "Anmelden" }).click();
  await shows(page, "Annas Geheimnis");
  await readyToBeOffline(page, "anna");
  await page.evaluate(() => sessionStorage.clear());
  await context.clearCookies();
  await page.reload();
  await shows(page, "Annas Geheimnis");
  await page.route("**/codex", (route) => route.fulfill(NOBODY));
  await page.reload();
  await page.getByText("Die Anmeldung hat nicht geklappt. Versuche es noch einmal.").waitFor();
  await page.unroute("**/codex");
  await page.getByRole("link", { name: "Anmelden" }).click();
  await shows(page, "Annas Geheimnis");
}

/** The same where the browser denies the storage that would remember the attempt. */
async function andWhereNothingCanBeNoted(browser, url) {
  const context = await person(browser);
  await context.addInitScript(() =>
    Object.defineProperty(globalThis, "sessionStorage", {
      get() {
        throw new DOMException("denied", "SecurityError");
      },
    }),
  );
  const page = await context.newPage();
  await page.goto(url);
  await page.getByRole("link", { name: "Anmelden" }).click();
  await shows(page, "Annas Geheimnis");
  await readyToBeOffline(page, "anna");
  await page.route("**/codex", (route) => route.fulfill(NOBODY));
  await page.reload();
  await nothingButASignIn(page, "without-storage");
  await context.close();
}

async function whereOnlyTokensAreTakenThePageSaysSo(browser, url) {
  const page = await (await person(browser)).newPage();
  await page.goto(url);
  await page.getByRole("link", { name: "Anmelden" }).click();
  await page.getByText("Über GitHubs Seiten meldet sich hier niemand an.").waitFor();
}

/** A refusal is a page in the reader's language that says what to do, and names no setting. */
async function aRefusalIsAPage(browser, url, byTokens) {
  const words = {
    de: { gone: "Hier ist nichts.", out: "Du bist nicht angemeldet.", home: "Zur Startseite" },
    en: { gone: "There is nothing here.", out: "You aren't signed in.", home: "To the start page" },
  };
  for (const lang of Object.keys(LOCALES))
    for (const size of Object.keys(SIZES))
      for (const colorScheme of ["light", "dark"]) {
        const page = await (await person(browser, { lang, size, colorScheme })).newPage();
        for (const [address, text] of [
          [`${url}nirgendwo`, words[lang].gone],
          [`${url}assets/gone.js`, words[lang].gone],
          [`${byTokens}codex?format=html`, words[lang].out],
        ]) {
          await page.goto(address);
          await page.getByRole("heading", { name: text }).waitFor();
          await page.getByRole("link", { name: words[lang].home }).waitFor();
          assert.doesNotMatch(await page.locator("body").innerText(), /[A-Z]+_[A-Z]+/);
          await isSound(page, `${address}, ${lang} ${size} ${colorScheme}`);
        }
        if (lang === "de") await picture(page, `refused-page-${size}-${colorScheme}`);
        await page.context().close();
      }
}
