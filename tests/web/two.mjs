// Two browsers of one user, at one instance or at two: a change in one is visible in the other within 5 s.
import assert from "node:assert/strict";
import { complete, make, shows } from "./steps.mjs";
import { scenario, visit } from "./support.mjs";

const WITHIN = 5_000; // The limit, in ms.

await scenario("two", async ({ browser, urls: [here, there] }) => {
  await make(here, "Gemeinsame Aufgabe");
  const mine = await visit(browser, here);
  const other = await visit(browser, there);
  await shows(other, "Gemeinsame Aufgabe");
  await shows(mine, "Gemeinsame Aufgabe");
  await other.evaluate(() => (globalThis.mark = true));

  const [done] = await Promise.all([mine.waitForResponse("**/complete"), complete(mine, "Gemeinsame Aufgabe")]);
  assert.equal(done.status(), 200);
  const completed = Date.now();
  await other.getByRole("link", { name: "Gemeinsame Aufgabe" }).waitFor({ state: "detached" });
  isInTime("a completion", completed);

  await make(here, "Neu dazu");
  const created = Date.now();
  await shows(other, "Neu dazu");
  isInTime("a new task", created);
  assert.ok(await other.evaluate(() => globalThis.mark), "it was never loaded again");
});

function isInTime(what, began) {
  const took = Date.now() - began;
  console.log(`${what} was seen by the second browser after ${took} ms`);
  assert.ok(took <= WITHIN, `${what}: ${took} ms`);
}
