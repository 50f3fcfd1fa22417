// Signing in and out: back to the same place, nothing left behind, and no user sees another's data.
import assert from "node:assert/strict";
import { readyToBeOffline, dialogOf, openNew, said, shows, tap } from "./steps.mjs";
import { eventually, isSound, outside, person, scenario } from "./support.mjs";

const SIGNED_OUT = "Du bist nicht angemeldet.";

await scenario("people", async ({ browser, urls: [url, byTokens] }) => {
  const context = await person(browser);
  const page = await context.newPage();
  await aSignInLeadsBackToTheTask(page, url);
  await aSessionThatEndsKeepsTheDraft(page, context, url);
  await signingOutLeavesNothing(page, context, url);
  await theNextPersonSeesTheirOwn(page, context, url);
  await whoMayNotEnterIsTold(page);
  await aSignInThatDoesntHelpIsSaid(browser, url);
  await whereOnlyTokensAreTakenThePageSaysSo(browser, byTokens);
});

async function aSignInLeadsBackToTheTask(page, url) {
  await page.goto(`${url}#/task/0001-Annas-Geheimnis`);
  const dialog = page.getByRole("dialog", { name: "Annas Geheimnis" });
  await dialog.getByText("0001-Annas-Geheimnis").waitFor();
  assert.equal(page.url(), `${url}#/task/0001-Annas-Geheimnis`);
  await tap(page, "Schließen");
  await page.getByText("anna", { exact: true }).waitFor();
  await isSound(page, "somebody is signed in");
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
  await isSound(page, "nobody is signed in");
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

/** The page redirects to the sign-in once, not in a loop. */
async function aSignInThatDoesntHelpIsSaid(browser, url) {
  await outside("anna is at GitHub");
  const page = await (await person(browser)).newPage();
  const refusal = {
    status: 401,
    contentType: "application/json; charset=utf-8",
    body: JSON.stringify({ ok: false, code: "not_signed_in", error: "…" }),
  };
  await page.route("**/codex", (route) => route.fulfill(refusal));
  await page.goto(url);
  await page.getByText("Die Anmeldung hat nicht geklappt. Versuche es noch einmal.").waitFor();
  await page.unroute("**/codex");
  await page.getByRole("link", { name: "Anmelden" }).click();
  await shows(page, "Annas Geheimnis");
}

async function whereOnlyTokensAreTakenThePageSaysSo(browser, url) {
  const page = await (await person(browser)).newPage();
  await page.goto(url);
  await page.getByText("Über GitHubs Seiten meldet sich hier niemand an.").waitFor();
}
