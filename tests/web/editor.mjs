// What an editor does to the files in the folder is on the open page by itself.
import assert from "node:assert/strict";
import { shows } from "./steps.mjs";
import { outside, scenario, visit } from "./support.mjs";

const WITHIN = 10_000; // ms
const LOOKS = 5_000; // ms in which the page asks about every second.

await scenario("editor", async ({ browser, urls: [url] }) => {
  const page = await visit(browser, url);
  await page.evaluate(() => (globalThis.mark = true));
  const title = (name) => page.getByRole("link", { name, exact: true });
  await asksEverySecond(page);
  for (const [what, arrives] of [
    ["a file is made", () => shows(page, "Aus dem Editor")],
    ["it is saved in place", () => shows(page, "Anders betitelt")],
    ["it is saved by a rename", () => shows(page, "Noch einmal anders")],
    ["it gets another name", () => page.locator('[data-key="task 0901-Umbenannt"]').waitFor()],
    ["it is removed", () => title("Noch einmal anders").waitFor({ state: "detached" })],
  ]) {
    await outside(what);
    const began = Date.now();
    await arrives();
    const took = Date.now() - began;
    console.log(`${what}: on the page after ${took} ms`);
    assert.ok(took <= WITHIN, `${what}: ${took} ms`);
  }
  assert.ok(await page.evaluate(() => globalThis.mark), "it was never loaded again");
  await readsAnew(page);
});

async function asksEverySecond(page) {
  let asked = 0;
  const note = (request) => (asked += new URL(request.url()).pathname === "/codex");
  await page.waitForRequest("**/codex");
  page.on("request", note);
  await new Promise((resume) => setTimeout(resume, LOOKS));
  page.off("request", note);
  console.log(`${asked} looks in ${LOOKS} ms`);
  assert.ok(asked >= 3 && asked <= 6, `${asked} looks`);
}

/** The button at the bottom has the service list the files again. */
async function readsAnew(page) {
  const button = page.getByRole("button", { name: /^Stand / });
  const [asked] = await Promise.all([page.waitForRequest("**/codex?nocache=true"), button.click()]);
  const answer = await asked.response();
  assert.deepEqual([answer.status(), await answer.headerValue("x-codex-cache")], [200, "rebuild"]);
  await page.getByRole("button", { name: /^Stand \d\d\.\d\d\., \d\d:\d\d, neu gelesen$/ }).waitFor();
}
