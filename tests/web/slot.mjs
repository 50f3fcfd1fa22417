// A slot passes while the page is open. The service's clock is set to shortly before 9:00; the browser's isn't.
import assert from "node:assert/strict";
import { picture, scenario, visit } from "./support.mjs";

await scenario("slot", async ({ browser, urls: [url] }) => {
  const page = await visit(browser, url);
  await page.evaluate(() => (globalThis.mark = true));
  const today = page.locator("[aria-current=date]");
  const first = today.locator("li").first();
  assert.match(await today.getByRole("heading").innerText(), /^Heute, Fr 27\. Nov$/);
  assert.match(await first.innerText(), /^Morgens\s+jetzt dran/);
  const moved = await first.getByRole("link").innerText();

  await first.getByText("Nachmittags").waitFor();
  assert.match(await first.innerText(), /^Nachmittags\s+jetzt dran/);
  assert.equal(await first.getAttribute("aria-current"), "time");
  assert.equal(await today.locator("li").count(), 2);
  assert.equal(await first.getByRole("link").innerText(), moved, "what wasn't done moves on");
  await page.locator("#as-of", { hasText: /^Stand 27\.11\., 09:00/ }).waitFor();
  assert.ok(await page.evaluate(() => globalThis.mark), "it was never loaded again");
  await picture(page, "after-nine");
});
