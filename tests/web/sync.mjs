// Syncing the files and Git manually.
import assert from "node:assert/strict";
import { dialogOf, make, shows, tap, titled, warned } from "./steps.mjs";
import { eventually, isSound, outside, picture, scenario, visit } from "./support.mjs";

// The number varies: a push in the background may have fetched some files first.
const FETCHED = /Geholt: \d, zusammengeführt: 0, entfernt: 0, übergangen: 0\./;

await scenario("sync", async ({ browser, urls: [url, off] }) => {
  await outside("GitHub is away");
  await make(url, "Nur hier");
  const page = await visit(browser, url);
  await whatIsntInGitIsListed(page);
  await anOutageIsSaid(page);
  await progressAndResult(page);
  await everythingIsInGitAfterwards(page);
  await aMassDeleteIsAskedFor(page, url);
  await withoutARepositoryThePageSaysSo(page, off);
});

async function openSync(page) {
  await page.getByRole("link", { name: "Git-Abgleich" }).click();
  await dialogOf(page).getByRole("button").first().waitFor();
}

async function whatIsntInGitIsListed(page) {
  await openSync(page);
  await dialogOf(page).getByText("1 Datei ist noch nicht in Git:").waitFor();
  await dialogOf(page).getByText("-Nur-hier.md").waitFor();
  await isSound(page, "the state of a sync");
  await picture(page, "sync");
}

async function anOutageIsSaid(page) {
  await tap(page, "Jetzt abgleichen");
  await warned(page, "GitHub ist gerade nicht erreichbar");
  await dialogOf(page).getByText("1 Datei ist noch nicht in Git:").waitFor();
  await tap(page, "Meldung schließen");
}

async function progressAndResult(page) {
  await outside("GitHub is back");
  await outside("a file comes by Git");
  await outside("GitHub is slow");
  await tap(page, "Jetzt abgleichen");
  await dialogOf(page).getByRole("progressbar", { name: "Abgleich läuft …" }).waitFor();
  await isSound(page, "a sync under way");
  await dialogOf(page).getByText(FETCHED).waitFor();
  await outside("GitHub is quick");
  await tap(page, "Schließen");
  await shows(page, "Aus Git");
}

async function everythingIsInGitAfterwards(page) {
  await eventually("everything is in Git", async () => {
    await openSync(page);
    await dialogOf(page)
      .getByText(/in Git/)
      .first()
      .waitFor();
    const done = await dialogOf(page).getByText("Alles ist in Git.").isVisible();
    await tap(page, "Schließen");
    await dialogOf(page).waitFor({ state: "hidden" });
    return done;
  });
}

async function aMassDeleteIsAskedFor(page, url) {
  await outside("eight files come by Git");
  await openSync(page);
  await tap(page, "Jetzt abgleichen");
  await dialogOf(page).getByText(FETCHED).waitFor();
  await eventually("all eight are here", async () => (await titled(url, "Stapel")).length === 8);
  await outside("eight files go from Git");
  await tap(page, "Jetzt abgleichen");
  await dialogOf(page).getByText("In Git fehlen 8 Dateien, mehr als die Hälfte.").waitFor();
  assert.equal((await titled(url, "Stapel")).length, 8, "nothing is gone yet");
  await tap(page, "8 Dateien entfernen");
  await dialogOf(page).getByText("entfernt: 8,").waitFor();
  assert.equal((await titled(url, "Stapel")).length, 0);
  await tap(page, "Schließen");
}

async function withoutARepositoryThePageSaysSo(page, off) {
  await page.goto(`${off}#/sync`);
  await dialogOf(page).getByText("Hier ist kein GitHub eingerichtet.").waitFor();
}
